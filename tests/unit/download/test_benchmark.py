"""The files of a benchmark's task are those that the card of its repository names for the language."""

from pathlib import Path

import pytest

from stages.download.benchmark import lay_out, part_patterns, set_name
from tests.refused import refused


def card(data_files: str, part: str = "corpus") -> str:
    others = "".join(
        f"- {{config_name: no-{each}, data_files: [{{split: test, path: no-{each}/test-*}}]}}\n" for each in ("corpus", "queries", "qrels")
    )
    return f"---\nconfigs:\n{others}- {{config_name: no-{part}, data_files: {data_files}}}\n---\n"


@pytest.mark.parametrize(
    ("data_files", "expected"),
    [
        ("[{split: test, path: a/test-*}, {split: train, path: a/train-*}]", ["a/test-*"]),
        ("[{split: train, path: a/train-*}]", ["a/train-*"]),
        ("[{split: test, path: [a/1.parquet, ./a/2.parquet]}]", ["a/1.parquet", "a/2.parquet"]),
        ("a/*.parquet", ["a/*.parquet"]),
        ("[a/*, b/*]", ["a/*", "b/*"]),
    ],
)
def test_a_config_names_the_files_of_the_test_split_or_of_the_only_one(data_files: str, expected: list[str]) -> None:
    found = part_patterns(card(data_files), "no", "mteb/x", "evaluation.sets.x")
    assert found == {"corpus": expected, "queries": ["no-queries/test-*"], "qrels": ["no-qrels/test-*"]}


@pytest.mark.parametrize(
    "text", ["", "# a card", card("[{split: train, path: a}, {split: dev, path: b}]"), card("null"), "---\nconfigs: yes\n---\n"]
)
def test_a_card_that_names_no_such_files_is_one_line(text: str) -> None:
    with refused("evaluation.sets.x", "mteb/x", "no-corpus", "split test"):
        part_patterns(text, "no", "mteb/x", "evaluation.sets.x")


def test_shards_keep_their_order_in_the_new_place(tmp_path: Path) -> None:
    names = ["no-corpus/test-00000-of-00002.parquet", "no-corpus/test-00001-of-00002.parquet", "no-queries/q.parquet", "no-qrels/r.parquet"]
    for name in names:
        (tmp_path / "files" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "files" / name).write_text(name)
    (tmp_path / "out").mkdir()
    lay_out(
        tmp_path / "files",
        {"corpus": ["no-corpus/test-*"], "queries": ["no-queries/*"], "qrels": ["no-qrels/*"]},
        "NanoX",
        tmp_path / "out",
    )
    assert {path.relative_to(tmp_path / "out").as_posix(): path.read_text() for path in (tmp_path / "out").rglob("*.parquet")} == {
        "corpus/NanoX-00000-of-00002.parquet": names[0],
        "corpus/NanoX-00001-of-00002.parquet": names[1],
        "queries/NanoX-00000-of-00001.parquet": names[2],
        "qrels/NanoX-00000-of-00001.parquet": names[3],
    }


def test_a_set_is_called_as_in_nanobeir() -> None:
    assert set_name("MultilingualNanoNQRetrieval") == "NanoNQ"
