from tests.unit.format.sources.conftest import read_all


def test_a_question_without_a_fact_is_dropped_and_counted(tmp_path, write):
    facts = ["fakta", "", "  ", None]
    write("nb/train.parquet", [{"question_stem": f"spørsmål {i}", "fact": fact, "id": i} for i, fact in enumerate(facts)])
    rows, dropped = read_all("openbookqa", tmp_path)
    assert rows == [{"anchor": "spørsmål 0", "positive": "fakta", "negative": None, "language": "nb"}]
    assert dropped == {"no fact": 3}


def test_both_written_forms_are_told_apart(tmp_path, write):
    for language in ("nb", "nn"):
        write(f"{language}/train.parquet", [{"question_stem": "s", "fact": "f"}])
    assert {row["language"] for row in read_all("openbookqa", tmp_path)[0]} == {"nb", "nn"}
    rows, dropped = read_all("openbookqa", tmp_path, languages=("nn",))
    assert ([row["language"] for row in rows], dropped) == (["nn"], {"language not chosen": 1})
