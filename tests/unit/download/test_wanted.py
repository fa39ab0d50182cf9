"""The files that a kind reads are downloaded, and no others."""

import pytest

from stages.download.wanted import wanted


@pytest.mark.parametrize(
    ("kind", "needed", "left"),
    [
        (
            "triplets",
            ["train.PARQUET", "nb/dev.jsonl", "protest.json"],
            ["test.parquet", "test/0.json", "x.csv", ".x.json", "a/.b/x.json", "manifest.json", "a/dataset_infos.json"],
        ),
        ("paws_x", ["norwegian-x-final.tar.gz"], ["a.parquet", "a.tar"]),
        ("beir", ["corpus.jsonl", "queries.jsonl", "qrels/test.tsv"], ["a/corpus.jsonl", "corpus.parquet", "qrels.tsv"]),
        ("scored", ["corpus/train-0.parquet", "collection.tsv", "queries.train.tsv.gz"], ["scores.pkl.gz", "x.txt"]),
        ("parallel", ["da-sv/train.parquet", "a.da-sv.da", "a.da-sv.sv.gz", "a.tsv"], ["a.de", "x.txt", "a.da.zip"]),
        ("esci", ["data/train-00000-of-00002.parquet"], ["data/test-00000-of-00001.parquet"]),
        ("mteb", ["test.jsonl", "qrels/test.tsv", "data/test-0.parquet"], ["danfever.py", ".gitattributes", "manifest.json"]),
        (
            "model",
            ["model.safetensors", "1_Pooling/config.json", "vocab.txt"],
            ["a.py", "x.bin", "onnx/config.json", "checkpoint-5/x.json"],
        ),
    ],
)
def test_only_what_the_kind_reads_is_wanted(kind: str, needed: list[str], left: list[str]) -> None:
    assert wanted(["README.md", *needed, *left], kind) == {"README.md", *needed}


@pytest.mark.parametrize(
    ("kind", "needed", "left"),
    [
        ("nanobeir", ["corpus/NanoX.parquet", "queries/NanoX.parquet"], ["bm25/NanoX.parquet", "corpus/.x.parquet"]),
        ("esci", ["data/test-00000-of-00001.parquet"], ["data/train-00000-of-00002.parquet"]),
        ("products", ["products.csv", "judgements.parquet"], ["about.pdf"]),
    ],
)
def test_an_evaluation_set_needs_the_files_of_its_own_kind(kind: str, needed: list[str], left: list[str]) -> None:
    assert wanted(["README.md", *needed, *left], kind, evaluation=True) == {"README.md", *needed}


def test_code_is_wanted_only_if_it_may_run() -> None:
    paths = ["modeling_norbert.py", "pytorch_model.bin"]
    assert (wanted(paths, "model", code=True), wanted(paths, "model")) == ({"modeling_norbert.py"}, set())
