from tests.sources.conftest import read_all


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
