import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stages.rows.parquet import SCORES
from tests.refused import refused
from tests.unit.format.sources.conftest import read_all


def test_a_null_negative_leaves_a_pair_and_other_columns_are_left_out(tmp_path, write):
    write("train.parquet", [{"anchor": "a", "positive": "p", "negative": None, "instruction": "x", "task_type": "y"}])
    rows, _ = read_all("triplets", tmp_path, language="nb")
    assert rows == [{"anchor": "a", "positive": "p", "negative": None, "language": "nb"}]


def test_the_negative_column_may_be_missing(tmp_path, write):
    write("train.parquet", [{"anchor": "a", "positive": "p"}])
    rows, _ = read_all("triplets", tmp_path)
    assert rows[0]["negative"] is None


def test_dev_comes_from_its_own_files_and_test_from_nowhere(tmp_path, write):
    for split in ("train", "dev", "test"):
        write(f"data/{split}-00000-of-00001.parquet", [{"anchor": split, "positive": "p", "negative": "n"}])
    assert [row["anchor"] for row in read_all("triplets", tmp_path, "train")[0]] == ["train"]
    assert [row["anchor"] for row in read_all("triplets", tmp_path, "dev")[0]] == ["dev"]


def test_a_file_of_no_split_is_divided_by_its_split_field(tmp_path):
    lines = [{"anchor": name, "positive": "p", "negative": "n", "split": name} for name in ("train", "dev", "test", "validation")]
    lines.append({"anchor": "none", "positive": "p", "negative": "n"})
    (tmp_path / "triplets.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    assert [row["anchor"] for row in read_all("triplets", tmp_path, "train")[0]] == ["train", "none"]
    assert [row["anchor"] for row in read_all("triplets", tmp_path, "dev")[0]] == ["dev", "validation"]


def test_a_file_of_no_split_without_the_field_is_training_data(tmp_path):
    (tmp_path / "mine.jsonl").write_text('{"anchor": "a", "positive": "p"}\n', encoding="utf-8")
    assert len(read_all("triplets", tmp_path, "train")[0]) == 1
    assert read_all("triplets", tmp_path, "dev")[0] == []


def test_the_columns_of_eti_read_alike(tmp_path, write):
    write("train.parquet", [{"anchor": "a", "positive": "p", "negative": None, "source": "eti", "language": "x", "mode": "smpl"}])
    rows, _ = read_all("eti", tmp_path, language="nb")
    assert rows == [{"anchor": "a", "positive": "p", "negative": None, "language": "nb"}]


def test_further_negatives_and_scores_are_read_from_parquet_and_json_lines(tmp_path, write):
    full = {"anchor": "a", "positive": "p", "negative": "n", "negative_2": None, "negative_3": "t", "scores": [3.5, 1, -2.0, 0.5]}
    write("train.parquet", [{**full, "negative_id": "x", "scores": [3.5, 1.0, -2.0, 0.5]}])
    (tmp_path / "train.jsonl").write_text(json.dumps(full) + "\n" + json.dumps({"anchor": "b", "positive": "q"}) + "\n", encoding="utf-8")
    rows, _ = read_all("triplets", tmp_path)
    whole = full | {"scores": [3.5, 1.0, -2.0, 0.5], "language": None}
    assert rows == [whole, dict.fromkeys(whole) | {"anchor": "b", "positive": "q"}, whole]
    assert list(rows[0]) == ["anchor", "positive", "negative", "negative_2", "negative_3", "language", "scores"]


def test_the_columns_that_mine_hard_negatives_writes_are_read_in_their_order(tmp_path, write):
    write(
        "train.parquet",
        [{"anchor": "a", "positive": "p", **{f"negative_{i}": f"n{i}" for i in (1, 10, 2)}, "scores": [4.0, 1.0, 2.0, 10.0]}],
    )
    [row] = read_all("triplets", tmp_path)[0]
    assert [row[name] for name in ("negative", "negative_2", "negative_3")] == ["n1", "n2", "n10"]


def test_scores_that_are_no_numbers_are_one_line(tmp_path):
    (tmp_path / "train.jsonl").write_text('{"anchor": "a", "positive": "p", "scores": ["good", "bad"]}\n', encoding="utf-8")
    with refused("train.jsonl", '"scores"', "numbers"):
        read_all("triplets", tmp_path)


def test_one_score_a_row_is_no_teachers_list(tmp_path, write):
    write("train.parquet", [{"anchor": "a", "positive": "p", "scores": 0.5}])
    assert read_all("triplets", tmp_path)[0][0]["scores"] is None


@pytest.mark.parametrize("kind", [pa.list_(pa.float32(), 2), pa.large_list(pa.float64()), pa.list_view(pa.float64())])
def test_scores_are_read_from_lists_of_every_type(tmp_path, kind):
    table = pa.table({"anchor": ["a"], "positive": ["p"], "negative": ["n"], SCORES: pa.array([[2.0, 1.0]], kind)})
    pq.write_table(table, tmp_path / "train.parquet")
    assert read_all("triplets", tmp_path)[0][0]["scores"] == [2, 1]


def test_columns_that_the_first_row_lacks_are_read(tmp_path):
    rows = [{"anchor": "a", "positive": "p"}, {"positive": "q", "anchor": "b", "negative_1": "n", "negative_2": "m", "scores": [3, 2, 1]}]
    (tmp_path / "train.jsonl").write_text("\r\n".join(map(json.dumps, rows)), encoding="utf-8")
    found, _ = read_all("triplets", tmp_path)
    assert [(row["negative"], row["negative_2"], row["scores"]) for row in found] == [(None, None, None), ("n", "m", [3, 2, 1])]


def test_a_column_that_only_the_last_of_many_rows_has_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr("stages.format.sources.json_rows.READ_ROWS", 2)
    rows = [{"anchor": f"a{i}", "positive": "p"} for i in range(5)] + [{"anchor": "b", "positive": "p", "negative": "n"}]
    (tmp_path / "train.json").write_text(json.dumps(rows, indent=2), encoding="utf-8-sig")
    assert [row["negative"] for row in read_all("triplets", tmp_path)[0]] == [None] * 5 + ["n"]
