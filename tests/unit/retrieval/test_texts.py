from pathlib import Path

from stages.retrieval.texts import read_texts, write_texts
from tests.refused import refused


def test_texts_of_the_named_tasks_come_back_by_role(tmp_path: Path) -> None:
    path = tmp_path / "texts.parquet"
    one = [("queries", "hva?"), ("documents", "svar"), ("distractors", "annet")]
    write_texts(path, {"One": iter(one), "Two": [("queries", "kor?"), ("documents", "der")]})
    assert read_texts(path, ["One", "Two"]) == {"queries": ["hva?", "kor?"], "documents": ["svar", "der"], "distractors": ["annet"]}
    assert read_texts(path, ["Two"]) == {"queries": ["kor?"], "documents": ["der"], "distractors": []}
    assert read_texts(path) == read_texts(path, ["One", "Two"])


def test_a_task_without_texts_is_named_with_the_command_that_writes_them(tmp_path: Path) -> None:
    path = tmp_path / "texts.parquet"
    with refused("texts.parquet", "One", "`dvc repro -f download-mteb`"):
        read_texts(path, ["One"])
    with refused("texts.parquet", "any task", "`dvc repro -f download-mteb`"):
        read_texts(path)
    write_texts(path, {"One": [("queries", "hva?")]})
    with refused("texts.parquet", "Two"):
        read_texts(path, ["Two", "One"])


def test_without_tasks_no_file_is_needed(tmp_path: Path) -> None:
    assert read_texts(tmp_path / "texts.parquet", []) == {"queries": [], "documents": [], "distractors": []}
