"""Which files and rows are read, and that each of the others is named."""

import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import Dataset, DatasetDict

from stages.format.sources import reader
from stages.format.sources.chunk import Options
from stages.format.sources.folder import RawFolder
from tests.refused import refused


@pytest.fixture
def lines(tmp_path):
    """Writes pairs (anchor, positive, further fields) as JSON lines; a name that ends in .gz is compressed."""

    def write(name, *anchors, **fields):
        text = "".join(json.dumps({"anchor": anchor, "positive": f"p {anchor}", **fields}) + "\n" for anchor in anchors).encode()
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(text) if name.lower().endswith(".gz") else text)

    return write


def read(path, kind="triplets"):
    """The anchors of train and dev, and the folder that they were read from."""
    raw = RawFolder(path)
    found = {}
    for split in ("dev", "train"):
        chunks = reader(kind)(raw, split, Options())
        found[split] = sorted(text for chunk in chunks for text in chunk.rows["anchor"].to_pylist())
    return found, raw


def test_a_compressed_file_is_read_beside_one_that_is_not(tmp_path, lines):
    lines("train-0.jsonl", "a")
    lines("train-1.jsonl.gz", "b")
    lines("TRAIN-2.JSONL", "c")
    lines("train-3.ndjson", "d")
    found, raw = read(tmp_path)
    assert found["train"] == ["a", "b", "c", "d"]
    assert raw.account()["train-1.jsonl.gz"] == {"train": 1}


def test_a_truncated_gzip_file_is_named(tmp_path, lines):
    lines("train.jsonl.gz", *map(str, range(5_000)))
    path = tmp_path / "train.jsonl.gz"
    path.write_bytes(path.read_bytes()[:-20])
    with refused("train.jsonl.gz", "complete gzip"):
        read(tmp_path)


def test_a_file_that_names_no_split_beside_one_that_does_is_refused(tmp_path, lines):
    lines("train-extra.jsonl", "a")
    lines("part-a.jsonl", "b")
    with refused("part-a.jsonl", "split", "train-extra.jsonl"):
        read(tmp_path)


def test_it_is_read_if_its_rows_say_their_split(tmp_path, lines):
    lines("train-extra.jsonl", "a")
    lines("part-a.jsonl", "b", split="train")
    lines("part-b.jsonl", "c", split="validation")
    found, _ = read(tmp_path)
    assert found == {"train": ["a", "b"], "dev": ["c"]}


def test_it_is_left_out_with_a_warning_if_it_holds_no_rows_of_the_kind(tmp_path, lines):
    lines("train.jsonl", "a")
    (tmp_path / "stats.json").write_text(json.dumps({"rows": 1}, indent=2))
    _, raw = read(tmp_path)
    assert "anchor" in raw.account()["stats.json"]["not read"]
    assert any("stats.json" in warning for warning in raw.warnings())


def test_the_field_split_is_read_as_a_files_name_is(tmp_path, lines):
    for name, split in {"a": "train_part2", "b": "Validation", "c": "test", "d": None}.items():
        lines(f"{name}.jsonl", name, split=split)
    found, raw = read(tmp_path)
    assert found == {"train": ["a", "d"], "dev": ["b"]}
    assert raw.account()["c.jsonl"] == {"dev": 0, "train": 0, "left out": {"field split says test": 1}}


def test_a_split_that_is_not_known_is_refused(tmp_path, lines):
    lines("rows.jsonl", "a", split="fold3")
    with refused("rows.jsonl", '"split"', "'fold3'"):
        read(tmp_path)


def test_a_row_that_says_test_in_a_file_that_says_train_is_left_out(tmp_path, lines):
    lines("train.jsonl", "a", split="test")
    lines("train-2.jsonl", "b", split="fold3")
    found, raw = read(tmp_path)
    assert found["train"] == ["b"]
    assert raw.account()["train.jsonl"] == {"train": 0, "left out": {"field split says test": 1}}


@pytest.mark.parametrize("name", ["eval.jsonl", "test/a.jsonl", "Evaluation-2.jsonl"])
def test_nobody_trains_on_what_is_called_a_test_or_an_evaluation(tmp_path, lines, name):
    lines("train.jsonl", "a")
    lines(name, "secret")
    found, raw = read(tmp_path)
    assert found == {"train": ["a"], "dev": []}
    assert "test" in raw.account()[name]["not read"]
    assert raw.warnings() == []


def test_every_file_is_listed_and_one_that_may_hold_rows_is_warned_of(tmp_path, lines):
    lines("train.jsonl", "a", "b")
    lines("nested/deep/dev.jsonl", "c")
    for name in ("train-1.csv", "train-2.jsonl.zst", "README.md", ".hidden.jsonl", "manifest.json", "licence"):
        (tmp_path / name).write_text("x")
    _, raw = read(tmp_path)
    account = raw.account()
    assert set(account) == {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert {name: rows for name, rows in account.items() if "not read" not in rows} == {
        "train.jsonl": {"train": 2},
        "nested/deep/dev.jsonl": {"dev": 1},
    }
    assert sorted(warning.split()[0] for warning in raw.warnings()) == ["train-1.csv", "train-2.jsonl.zst"]


def test_a_file_without_rows_is_listed_as_read(tmp_path, lines):
    lines("train-0.jsonl", "a")
    pq.write_table(pa.table({"anchor": pa.array([], pa.string()), "positive": pa.array([], pa.string())}), tmp_path / "train-1.parquet")
    _, raw = read(tmp_path)
    assert raw.account()["train-1.parquet"] == {"train": 0} and raw.warnings() == []


def test_only_arrow_files_are_taken_for_a_cache(tmp_path, lines):
    lines("cache-train.jsonl", "a")
    assert read(tmp_path)[0]["train"] == ["a"]


def test_without_a_file_to_train_on_those_there_are_are_named(tmp_path):
    (tmp_path / "rows.csv").write_text("anchor,positive\n")
    with refused("training file", "rows.csv"):
        read(tmp_path)


@pytest.mark.parametrize("form", ["dataset", "dict"])
def test_a_folder_of_save_to_disk_is_read(tmp_path, form):
    rows = Dataset.from_dict({"anchor": ["a", "b"], "positive": ["p", "q"]})
    if form == "dataset":
        rows.save_to_disk(tmp_path)
    else:
        DatasetDict(train=rows, validation=rows.select([0]), test=rows).save_to_disk(tmp_path)
    found, raw = read(tmp_path)
    assert found == {"train": ["a", "b"], "dev": [] if form == "dataset" else ["a"]}
    assert raw.warnings() == []


def test_an_arrow_file_in_its_own_format_is_read_and_a_broken_one_named(tmp_path):
    table = pa.table({"anchor": ["a"], "positive": ["p"]})
    with pa.ipc.new_file(str(tmp_path / "train.arrow"), table.schema) as writer:
        writer.write_table(table)
    assert read(tmp_path)[0]["train"] == ["a"]
    (tmp_path / "train.arrow").write_bytes(b"no arrow file at all")
    with refused("train.arrow", "complete Arrow"):
        read(tmp_path)


LOOK_USED = ["negatives", "negative1", "hard_negative", "neg", "Negative_2", "negative.1", "negative_passage_1"]
LOOK_USED += ["score", "teacher_scores", "scores_negative", "Split"]


@pytest.mark.parametrize("name", LOOK_USED)
def test_a_column_that_looks_like_negatives_or_scores_is_warned_of_by_name(tmp_path, lines, name):
    lines("train.jsonl", "a")
    lines("train-2.jsonl", "b", **{name: ["n"]})
    _, raw = read(tmp_path)
    assert [f'"{name}" (train-2.jsonl)' in warning for warning in raw.warnings()] == [True]


def test_scores_that_are_not_lists_are_warned_of(tmp_path, lines):
    lines("train.jsonl", "a", scores=0.5)
    _, raw = read(tmp_path)
    assert ["scores" in warning for warning in raw.warnings()] == [True]


def test_columns_that_are_read_or_mean_something_else_are_not_warned_of(tmp_path, lines):
    lines("train.jsonl", "a", negative="n", negative_2="m", scores=[1, 2, 3], label=1, negative_id="x", source="s")
    _, raw = read(tmp_path)
    assert raw.warnings() == []
