"""The files of a benchmark's task are those that the card of its repository names for the language."""

from pathlib import Path

import pytest

from stages.download.benchmark import lay_out, part_files, set_name
from tests.refused import refused

PATHS = [f"no-{part}/{split}-0.parquet" for part in ("corpus", "queries", "qrels") for split in ("test", "train")]


def files(tmp_path: Path, corpus: str | None) -> dict[str, list[str]]:
    """The files of each part; ``corpus`` is what the card says of its config, the others have the split test."""
    configs = {"no-corpus": corpus} | {f"no-{part}": f"[{{split: test, path: no-{part}/test-*}}]" for part in ("queries", "qrels")}
    lines = [f"- {{config_name: {name}, data_files: {given}}}" for name, given in configs.items() if given]
    (tmp_path / "README.md").write_text("\n".join(["---", "configs:", *lines, "---", ""]))
    return part_files(["README.md", *PATHS], tmp_path, "no", "evaluation.sets.x: mteb/x")


@pytest.mark.parametrize(
    ("corpus", "split"),
    [
        ("[{split: test, path: no-corpus/test-*}, {split: train, path: no-corpus/train-*}]", "test"),
        ("[{split: train, path: no-corpus/train-*}]", "train"),
    ],
)
def test_a_config_has_the_files_of_the_test_split_or_of_the_only_one(tmp_path: Path, corpus: str, split: str) -> None:
    expected = {"corpus": [f"no-corpus/{split}-0.parquet"]} | {part: [f"no-{part}/test-0.parquet"] for part in ("queries", "qrels")}
    assert files(tmp_path, corpus) == expected


@pytest.mark.parametrize(
    "corpus", [None, "no-corpus/gone-*", "[{split: train, path: no-corpus/train-*}, {split: dev, path: no-corpus/te*}]"]
)
def test_a_card_that_names_no_such_files_is_one_line(tmp_path: Path, corpus: str | None) -> None:
    with refused("evaluation.sets.x", "mteb/x", "no-corpus", "split test"):
        files(tmp_path, corpus)


def test_shards_keep_their_order_in_the_new_place(tmp_path: Path) -> None:
    parts = {"corpus": ["no-corpus/test-0.parquet", "no-corpus/test-1.parquet"], "qrels": ["no-qrels/r.parquet"]}
    for name in [*parts["corpus"], *parts["qrels"]]:
        (tmp_path / "files" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "files" / name).write_text(name)
    (tmp_path / "out").mkdir()
    lay_out(tmp_path / "files", parts, "NanoX", tmp_path / "out")
    assert {path.relative_to(tmp_path / "out").as_posix(): path.read_text() for path in (tmp_path / "out").rglob("*.parquet")} == {
        "corpus/NanoX-00000-of-00002.parquet": "no-corpus/test-0.parquet",
        "corpus/NanoX-00001-of-00002.parquet": "no-corpus/test-1.parquet",
        "qrels/NanoX-00000-of-00001.parquet": "no-qrels/r.parquet",
    }


def test_a_set_is_called_as_in_nanobeir() -> None:
    assert set_name("MultilingualNanoNQRetrieval") == "NanoNQ"
