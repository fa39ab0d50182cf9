"""Which files of a Hub repository are needed: those that the kind reads, and the card for its licence and citation.

A kind that is not named here is read from parquet, Arrow, JSON and JSON lines (`stages.format.sources.columns`).
"""

from collections.abc import Callable
from fnmatch import fnmatchcase
from pathlib import PurePosixPath

from stages.hub.splits import split_of

CARD = "README.md"
ROWS = ("*.parquet", "*.arrow", "*.json", "*.jsonl", "*.ndjson", "*.json.gz", "*.jsonl.gz", "*.ndjson.gz")
FILES: dict[str, tuple[str, ...]] = {
    "paws_x": ("*.tar.gz", "*/translated_*.json"),
    "beir": ("corpus.jsonl", "queries.jsonl", "qrels/*.tsv"),
    "nanobeir": ("corpus/*.parquet", "queries/*.parquet", "qrels/*.parquet"),
    "mteb": (*ROWS, "*.csv", "*.tsv", "*.csv.gz", "*.tsv.gz"),
    "model": ("*.safetensors", "*.json", "*.txt", "*.model", "*.jinja"),  # never a pickle
}
CODE = ("*.py",)
ELSEWHERE = ("onnx", "openvino", "coreml", "runs", "checkpoint-*")  # folders that hold a model a second time, or its history
MANIFESTS = ("manifest.json", "dataset_infos.json")  # the first is ours, see `stages.hub.manifest`


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
        return any(fnmatchcase(path if kind in FILES else path.lower(), pattern) for pattern in names)

    return is_wanted


def of_test_split(path: str) -> bool:
    """Whether a file's name, or else the nearest folder that names a split, says that nobody trains on it.

    >>> of_test_split("data/test-00000-of-00001.parquet"), of_test_split("test/train.json"), of_test_split("protest.json")
    (True, False, False)
    """
    return split_of(PurePosixPath(path)) == "test"
