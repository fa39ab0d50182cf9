"""What a kind reads comes down, and nothing else."""

from pathlib import Path

import pytest

from stages.hub.splits import split_of
from stages.hub.wanted import of_test_split, wanted


@pytest.mark.parametrize(
    ("kind", "needed", "left"),
    [
        (
            "triplets",
            ["train.parquet", "nb/dev.jsonl", "a.json"],
            ["test.parquet", "x.csv", ".x.json", "manifest.json", "a/dataset_infos.json"],
        ),
        ("paws_x", ["norwegian-x-final.tar.gz"], ["a.parquet", "a.tar"]),
        ("beir", ["corpus.jsonl", "queries.jsonl", "qrels/test.tsv"], ["a/corpus.jsonl", "corpus.parquet", "qrels.tsv"]),
        ("nanobeir", ["corpus/NanoX.parquet", "queries/NanoX.parquet"], ["bm25/NanoX.parquet", "corpus/.x.parquet"]),
        ("mteb", ["test.jsonl", "qrels/test.tsv", "data/test-0.parquet"], ["danfever.py", ".gitattributes", "manifest.json"]),
        (
            "model",
            ["model.safetensors", "1_Pooling/config.json", "vocab.txt"],
            ["a.py", "x.bin", "onnx/config.json", "checkpoint-5/x.json"],
        ),
    ],
)
def test_only_what_the_kind_reads_is_wanted(kind: str, needed: list[str], left: list[str]) -> None:
    assert [path for path in ["README.md", *needed, *left] if wanted(kind)(path)] == ["README.md", *needed]


def test_code_is_wanted_only_where_it_may_run() -> None:
    assert wanted("model", code=True)("modeling_norbert.py")
    assert not wanted("model", code=True)("pytorch_model.bin")


@pytest.mark.parametrize(
    "path",
    [
        "train.parquet",
        "data/test-00000-of-00001.parquet",
        "test/train.json",
        "train/test.json",
        "val/0.parquet",
        "protest.json",
        "testing/0.json",
    ],
)
def test_a_test_split_is_what_the_reader_takes_for_one(path: str) -> None:
    assert of_test_split(path) is (split_of(Path(path)) == "test")
