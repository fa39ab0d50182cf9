import hashlib
import json
import random

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stages.format.cleaning import MAX_CHARACTERS, format_set
from stages.format.sources import reader
from stages.format.sources.chunk import Options, chunk
from stages.format.sources.folder import RawFolder
from stages.rows.normalisation import fold
from tests.refused import refused


def run(tmp_path, train, dev=(), name="set"):
    """Format rows (anchor, positive[, negative]); return the report and the rows of train.parquet."""

    def read(split):
        for rows in (
            (train if split == "train" else [dev]) if train and isinstance(train[0], list) else [train if split == "train" else dev]
        ):
            if rows:
                columns = zip(*[(*row, None)[:3] for row in rows], strict=True)
                anchor, positive, negative = (pa.array(column, pa.string()) for column in columns)
                yield chunk(anchor, positive, [negative], "nb")

    report = format_set(name, read, tmp_path / name)
    return report, pq.read_table(tmp_path / name / "train.parquet").to_pylist()


def texts(rows):
    return [tuple(row[name] for name in ("anchor", "positive", "negative")) for row in rows]


def test_texts_are_stripped_and_in_nfc(tmp_path):
    _, rows = run(tmp_path, [(" bla\u030abær\n", "\u00a0p ", " n\t")])
    assert texts(rows) == [("blåbær", "p", "n")]
    assert (rows[0]["source"], rows[0]["language"]) == ("set", "nb")


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ((None, "p"), "empty anchor"),
        (("  ", "p"), "empty anchor"),
        (("a", None), "empty positive"),
        (("a", "\n"), "empty positive"),
        (("a", " a "), "anchor equals positive"),
        (("Å være", "å VÆRE"), "anchor equals positive"),
        (("Å  være\teller ikke være", "å VÆRE eller ikke være"), "anchor equals positive"),
        (("Maße und Gewichte", "MASSE und Gewichte"), "anchor equals positive"),
        (("ﬁffig" + " " * 50 + "x", "FIFFIG x"), "anchor equals positive"),
        (("a", "x" * (MAX_CHARACTERS + 1)), "too long"),
        (("a", "p", "å" * 1_000_000), "too long"),
        (("q", "p", "n"), "duplicate"),
    ],
)
def test_an_unusable_row_is_dropped_and_counted(tmp_path, row, reason):
    report, rows = run(tmp_path, [("q", "p", "n"), row])
    assert texts(rows) == [("q", "p", "n")]
    assert report["train"]["dropped"] == {reason: 1}
    assert (report["train"]["read"], report["train"]["kept"]) == (2, 1)


def test_texts_of_one_normal_form_are_found_and_no_others(tmp_path):
    generator = random.Random(1)
    rows = [["".join(generator.choices("aAsſß  \t", k=generator.randint(1, 5)) + ["rest"] * 3) for _ in range(2)] for _ in range(3_000)]
    report, _ = run(tmp_path, [(f"{number}x", f"{number}y") for number in range(9)] + rows)
    alike = sum(fold(anchor) == fold(positive) for anchor, positive in rows)
    assert report["train"]["dropped"]["anchor equals positive"] == alike > 20


def test_a_text_of_the_greatest_length_stays(tmp_path):
    _, rows = run(tmp_path, [("a", "å" * MAX_CHARACTERS)])
    assert len(rows[0]["positive"]) == MAX_CHARACTERS


@pytest.mark.parametrize(("negative", "removed"), [("", 0), (None, 0), ("p", 1), ("A", 1), (" P ", 1)])
def test_a_negative_that_teaches_nothing_leaves_a_pair(tmp_path, negative, removed):
    report, rows = run(tmp_path, [("a", "p", negative)])
    assert texts(rows) == [("a", "p", None)]
    assert report["train"]["negatives_removed"] == removed
    assert (report["train"]["with_negative"], report["train"]["without_negative"]) == (0, 1)


def test_the_same_pair_with_another_negative_is_another_row(tmp_path):
    _, rows = run(tmp_path, [("a", "p", "n"), ("a", "p", "m"), ("a", "p", None)])
    assert len(rows) == 3


def test_duplicates_are_found_across_chunks(tmp_path):
    report, rows = run(tmp_path, [[("a", "p"), ("b", "p")], [("c", "p"), ("a", "p")]])
    assert [row["anchor"] for row in rows] == ["a", "b", "c"]
    assert report["train"]["dropped"] == {"duplicate": 1}


def test_dev_wins_over_train_rows_that_share_its_anchor_or_positive(tmp_path):
    train = [("a", "1"), ("b", "p"), ("p", "a"), ("c", "3")]
    report, rows = run(tmp_path, train, dev=[("a", "p")])
    assert [row["anchor"] for row in rows] == ["p", "c"]
    assert report["train"]["dropped"] == {"shares anchor or positive with dev": 2}
    assert report["dev"]["kept"] == 1
    assert len(pq.read_table(tmp_path / "set" / "dev.parquet")) == 1


def test_without_dev_its_file_is_there_and_empty(tmp_path):
    run(tmp_path, [("a", "p")])
    table = pq.read_table(tmp_path / "set" / "dev.parquet")
    assert (len(table), table.column_names) == (0, ["anchor", "positive", "negative", "source", "language"])


def test_further_negatives_stay_in_their_columns(tmp_path):
    columns = [pa.array([text]) for text in ("a", "p", "n", "m")]
    format_set("s", lambda split: iter([chunk(*columns[:2], columns[2:], "nb")] if split == "train" else []), tmp_path / "s")
    assert pq.read_table(tmp_path / "s" / "train.parquet").column_names[:4] == ["anchor", "positive", "negative", "negative_2"]


def test_nothing_left_stops_with_the_reasons_and_leaves_no_folder(tmp_path):
    with refused("datasets.mine", "no training row", "empty anchor: 1, empty positive: 2"):
        run(tmp_path, [("", "p"), ("a", ""), ("b", None)], name="mine")
    assert list(tmp_path.iterdir()) == []


def test_no_rows_at_all_stops_too(tmp_path):
    with refused("datasets.set", "no training row", "files hold none"):
        run(tmp_path, [])


def test_the_same_rows_give_the_same_bytes(tmp_path):
    rows = [(f"a{i}", f"p{i}", None if i % 3 else f"n{i}") for i in range(5_000)]
    digests = []
    for attempt in ("one", "two"):
        run(tmp_path / attempt, [rows[:2_000], rows[2_000:]], dev=[("d", "e")])
        digests.append({path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in (tmp_path / attempt / "set").iterdir()})
    assert digests[0] == digests[1]
    assert set(digests[0]) == {"train.parquet", "dev.parquet", "report.json"}


def test_the_report_on_disk_is_the_report(tmp_path):
    report, _ = run(tmp_path, [("a", "p", "n"), ("", "p")])
    assert json.loads((tmp_path / "set" / "report.json").read_text(encoding="utf-8")) == report


def test_scores_stay_in_the_place_of_their_negative(tmp_path):
    rows = {"anchor": ["a", "b"], "positive": ["p", "q"]}
    negatives = [pa.array(["A", "n"]), pa.array(["m", None], pa.string())]
    scores = pa.array([[2.0, 0.0, 1.0], [4.0, 2.0, None]])
    chunks = {"train": [chunk(pa.array(rows["anchor"]), pa.array(rows["positive"]), negatives, "nb", scores=scores)], "dev": []}
    format_set("set", lambda split: iter(chunks[split]), tmp_path / "set")
    written = pq.read_table(tmp_path / "set" / "train.parquet").to_pylist()
    assert [(row["negative"], row["negative_2"]) for row in written] == [(None, "m"), ("n", None)]
    deviation = 0.8**0.5
    assert written[0]["scores"] == pytest.approx([1 / deviation, -1 / deviation, 0])
    assert written[1]["scores"] == pytest.approx([1 / deviation, -1 / deviation, np.nan], nan_ok=True)


@pytest.fixture
def raw(tmp_path):
    """Formats the raw folder tmp_path/raw, written from {file: rows}, with a kind; returns the report as it is on disk."""

    def formatted(kind, files, **options):
        for name, rows in files.items():
            path = tmp_path / "raw" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(pa.Table.from_pylist(rows), path)
        folder, given = RawFolder(tmp_path / "raw"), Options(**options)
        format_set("set", lambda split: reader(kind)(folder, split, given), tmp_path / "set", folder)
        return json.loads((tmp_path / "set" / "report.json").read_text(encoding="utf-8"))

    return formatted


def qa(language, *facts):
    return [{"question_stem": f"{language} {i}", "fact": fact} for i, fact in enumerate(facts)]


def test_the_counts_of_each_language_add_up_with_what_its_source_dropped(raw):
    files = {"nb/train.parquet": qa("nb", "f", "", "g"), "nn/train.parquet": qa("nn", "f", None, None), "nn/test.parquet": qa("nn", "t")}
    report = raw("openbookqa", files, languages=("nb", "nn"))
    train = report["train"]
    assert (train["read"], train["kept"], train["dropped"]) == (6, 3, {"no fact": 3})
    counts = {language: (part["read"], part["kept"], part["dropped"]) for language, part in train["languages"].items()}
    assert counts == {"nb": (3, 2, {"no fact": 1}), "nn": (3, 1, {"no fact": 2})}
    assert report["files"]["nb/train.parquet"] == {"train": 3}
    assert "test" in report["files"]["nn/test.parquet"]["not read"]


def test_further_texts_of_a_list_and_notes_stand_in_the_report(raw):
    rows = [{"query": "q", "pos": ["a", "b", "c"], "label": 1.0}, {"query": "r", "pos": ["d"], "label": None}, {"query": "s", "pos": []}]
    train = raw("pairs", {"train.parquet": rows}, language="da")["train"]
    assert (train["read"], train["added"], train["kept"], train["dropped"]) == (5, 2, 4, {"no positive": 1})
    assert train["notes"] == {"no label, taken as positive": 1}


PRODUCT = {"product_description": None, "product_bullet_point": None, "product_brand": None}
LABELS = ["Exact", "Irrelevant", "Complement", "E", "Substitute"]


@pytest.mark.parametrize(
    ("kind", "row", "rows", "options"),
    [
        ("triplets", {"positive": "p"}, [{"anchor": f"a{i % 3}", "label": i % 2} for i in range(8)], {"language": "nb"}),
        ("ddsc", {"positive": "p", "negative": None}, [{"query": f"{i}", "language": "sv" if i % 2 else "xx"} for i in range(7)], {}),
        ("squad", {"context": "c"}, [{"question": f"{i}", "answers": {"text": ["x"] * (i % 2)}} for i in range(7)], {"language": "da"}),
        (
            "esci",
            PRODUCT,
            [
                {
                    "query": f"q{i // 4}",
                    "query_id": i // 4,
                    "product_title": f"t{i}",
                    "esci_label": LABELS[i % 5],
                    "product_locale": "us" if i % 3 else "jp",
                }
                for i in range(900)
            ],
            {"locale": "us"},
        ),
        (
            "supervised_da",
            {"pos": "p"},
            [{"query": f"{i}", "dataset_name": "x-swe" if i % 3 else "x-da", "label": i % 2} for i in range(9)],
            {"languages": ("sv",)},
        ),
    ],
)
def test_every_row_of_every_kind_is_kept_or_dropped_by_language(raw, kind, row, rows, options):
    report = raw(kind, {"train.parquet": [row | each for each in rows]}, **options)
    assert report["train"]["read"] + report["dev"]["read"] == len(rows)
    assert sum(report["files"]["train.parquet"].values()) == len(rows)
    for split in ("train", "dev"):
        for part in (report[split], *report[split]["languages"].values()):
            assert part["read"] == part["kept"] + sum(part["dropped"].values())
        assert report[split]["read"] == sum(part["read"] for part in report[split]["languages"].values())


def test_a_source_that_loses_a_row_is_a_fault_and_writes_nothing(tmp_path, raw):
    raw("triplets", {"train.parquet": [{"anchor": "a", "positive": "p"}, {"anchor": "b", "positive": "q"}]})
    folder = RawFolder(tmp_path / "raw")

    def loses_one(split):
        for part in reader("triplets")(folder, split, Options()):
            yield chunk(part.rows["anchor"][:1], part.rows["positive"][:1])

    with pytest.raises(RuntimeError, match="train, does not add up: read 1, in the files 2"):
        format_set("other", loses_one, tmp_path / "other", folder)
    assert not (tmp_path / "other").exists()
