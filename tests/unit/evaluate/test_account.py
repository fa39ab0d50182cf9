from stages.evaluate.account import account


def counts(rows: int, used: int, **removed: int) -> dict[str, int]:
    return {"rows": rows, "used": used, **removed}


def test_every_set_has_its_rows_those_used_and_why_the_others_are_not() -> None:
    formatted = {
        "my-search": {"train": {"read": 100, "dropped": {"duplicate": 10}, "notes": {"documents that no query names": 230}}},
        "nli": {"train": {"read": 32, "dropped": {}}},
    }
    mixed = {"sources": {"my-search": counts(90, 64, removed_evaluation_overlap=20, tail_dropped=6), "nli": counts(32, 32, unused=0)}}
    header, rule, mine, nli, note = account(formatted, mixed).splitlines()
    assert mine.split()[:3] == ["my-search", "100", "64"]
    assert mine.endswith("10 duplicate, 20 in an evaluation set, 6 too few for one more batch")
    assert nli.split() == ["nli", "32", "32"]
    assert note == "my-search: 230 documents that no query names"
    assert header.index("rows") > len("my-search") and set(rule) == {"-"}
