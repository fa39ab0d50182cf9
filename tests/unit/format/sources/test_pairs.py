import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stages.format.sources import reader
from stages.format.sources.chunk import Options
from stages.format.sources.folder import RawFolder
from tests.refused import refused
from tests.unit.format.sources.conftest import read_all


def test_every_text_of_a_list_makes_a_row(tmp_path, write):
    write("train.parquet", [{"query": "q1", "pos": ["a", "b"]}, {"query": "q2", "pos": []}, {"query": "q3", "pos": None}])
    rows, dropped = read_all("pairs", tmp_path, language="da")
    assert [(row["anchor"], row["positive"], row["language"]) for row in rows] == [("q1", "a", "da"), ("q1", "b", "da")]
    assert dropped == {"no positive": 2}


def test_a_plain_text_makes_one_row(tmp_path, write):
    write("train.parquet", [{"query": "q", "pos": "a"}])
    assert [(row["anchor"], row["positive"]) for row in read_all("pairs", tmp_path)[0]] == [("q", "a")]


def test_json_lines_may_hold_both_kinds(tmp_path):
    (tmp_path / "train.jsonl").write_text('{"query": "q", "pos": "a"}\n{"query": "r", "pos": ["b", "c"]}\n', encoding="utf-8")
    rows, _ = read_all("pairs", tmp_path)
    assert [(row["anchor"], row["positive"]) for row in rows] == [("q", "a"), ("r", "b"), ("r", "c")]


@pytest.mark.parametrize("kind", ["pairs", "triplets"])
@pytest.mark.parametrize("labels", [[1, 0, None], [1.0, 0.0, float("nan")], ["1", "0", ""], [True, False, None]])
def test_a_row_with_label_0_is_no_positive_whatever_type_the_label_has(tmp_path, write, kind, labels):
    names = ("query", "pos") if kind == "pairs" else ("anchor", "positive")
    write("train.parquet", [{names[0]: f"q{i}", names[1]: "p", "label": label} for i, label in enumerate(labels)])
    chunks = list(reader(kind)(RawFolder(tmp_path), "train", Options(language="da")))
    assert [text for chunk in chunks for text in chunk.rows["anchor"].to_pylist()] == ["q0", "q2"]
    assert [(chunk.dropped, chunk.notes) for chunk in chunks] == [({("label 0", "da"): 1}, {"no label, taken as positive": 1})]


def test_labels_in_json_lines_and_between_0_and_1(tmp_path):
    lines = [{"query": f"q{i}", "pos": ["p", "r"], "label": label} for i, label in enumerate([1, 0.0, 0.4])]
    (tmp_path / "train.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    rows, dropped = read_all("pairs", tmp_path)
    assert [row["positive"] for row in rows] == ["p", "r"]
    assert dropped == {"label 0": 1, "label between 0 and 1": 1}


@pytest.mark.parametrize("label", [2, -1, "entailment"])
def test_a_label_of_unknown_meaning_is_refused(tmp_path, write, label):
    write("train.parquet", [{"query": "q", "pos": "p", "label": label}])
    with refused('"label"', str(label)):
        read_all("pairs", tmp_path)


@pytest.mark.parametrize("kind", [pa.list_(pa.string(), 2), pa.large_list(pa.large_string()), pa.list_view(pa.string())])
def test_lists_of_every_type_are_read(tmp_path, kind):
    lists = [["a", "b"], None, ["c", "d"]]
    table = pa.table({"query": ["q", "r", "s"], "pos": pa.array(lists, kind)})
    with pa.ipc.new_stream(str(tmp_path / "train.arrow"), table.schema) as writer:  # parquet has no null of a fixed-size list
        writer.write_table(table)
    pq.write_table(table[2:], tmp_path / "train.parquet")
    rows, dropped = read_all("pairs", tmp_path)
    assert ([row["positive"] for row in rows], dropped) == (["a", "b", "c", "d", "c", "d"], {"no positive": 1})


@pytest.mark.parametrize("suffix", ["parquet", "jsonl"])
def test_a_list_of_structs_is_refused_by_name(tmp_path, write, suffix):
    rows = [{"query": "q", "pos": [{"text": "a"}]}]
    if suffix == "parquet":
        write("train.parquet", rows)
    else:
        (tmp_path / "train.jsonl").write_text(json.dumps(rows[0]))
    with refused(f"train.{suffix}", '"pos"'):
        read_all("pairs", tmp_path)
