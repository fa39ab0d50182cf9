"""Which files of a Hub repository are needed: those that the kind reads, and the card for its licence and citation.

A kind that is not named here is read from parquet, JSON and JSON lines (`stages.sources.reading`).
"""

import re
from collections.abc import Callable
from fnmatch import fnmatchcase
from pathlib import PurePosixPath

CARD = "README.md"
ROWS = ("*.parquet", "*.json", "*.jsonl")
FILES: dict[str, tuple[str, ...]] = {
    "paws_x": ("*.tar.gz", "*/translated_*.json"),
    "beir": ("corpus.jsonl", "queries.jsonl", "qrels/*.tsv"),
    "nanobeir": ("corpus/*.parquet", "queries/*.parquet", "qrels/*.parquet"),
    "mteb": (*ROWS, "*.csv", "*.tsv", "*.arrow", "*.json.gz", "*.jsonl.gz", "*.csv.gz", "*.tsv.gz"),
    "model": ("*.safetensors", "*.json", "*.txt", "*.model", "*.jinja"),  # never a pickle
}
CODE = ("*.py",)
ELSEWHERE = ("onnx", "openvino", "coreml", "runs", "checkpoint-*")  # folders that hold a model a second time, or its history
MANIFESTS = ("manifest.json", "dataset_infos.json")  # the first is ours, see `stages.manifest`
SPLIT_NAMES = {"train", "training", "dev", "validation", "valid", "val", "test", "testing"}  # as in `stages.sources.reading`
TEST_NAMES = {"test", "testing"}


def patterns(kind: str, code: bool = False) -> tuple[str, ...]:
    """What the files of a kind are called; ``code``: a model may bring Python files, which are run."""
    return FILES.get(kind, ROWS) + (CODE if code else ())


def wanted(kind: str, code: bool = False) -> Callable[[str], bool]:
    """A test for paths within a repository: is the file needed for a set of this kind?"""
    names = patterns(kind, code)

    def is_wanted(path: str) -> bool:
        *folders, name = PurePosixPath(path).parts
        if path == CARD:
            return True
        if any(part.startswith(".") for part in (*folders, name)) or path == MANIFESTS[0]:
            return False
        if kind == "model" and any(fnmatchcase(folder, pattern) for folder in folders for pattern in ELSEWHERE):
            return False
        if kind not in FILES and (name in MANIFESTS or of_test_split(path)):
            return False
        return any(fnmatchcase(path, pattern) for pattern in names)

    return is_wanted


def of_test_split(path: str) -> bool:
    """Whether a file's name, or else the nearest folder that names a split, says that nobody trains on it.

    >>> of_test_split("data/test-00000-of-00001.parquet"), of_test_split("test/train.json"), of_test_split("protest.json")
    (True, False, False)
    """
    *folders, name = PurePosixPath(path).parts
    for part in [PurePosixPath(name).stem, *reversed(folders)]:
        if named := set(re.split(r"[^a-z]+", part.lower())) & SPLIT_NAMES:
            return named <= TEST_NAMES
    return False
