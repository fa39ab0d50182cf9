import json

from tests.sources.conftest import read_all


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
