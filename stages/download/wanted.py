"""Chooses the files of a Hub repository to download: those that the kind reads, and the card for its licence and citation.

A kind without patterns of its own is read from parquet, Arrow, JSON and JSON lines (`stages.format.sources.columns`).
"""

from collections.abc import Iterable
from pathlib import PurePosixPath

from stages.config.kinds import EVALUATION, ROWS, TRAINING
from stages.hub.manifest import CARD, MANIFEST
from stages.hub.splits import split_of

FILES: dict[str, tuple[str, ...]] = {
    **{kind: files for kind, files in TRAINING.items() if files},
    "mteb": (*ROWS, "*.csv", "*.tsv", "*.csv.gz", "*.tsv.gz"),
    "model": ("*.safetensors", "*.json", "*.txt", "*.model", "*.jinja"),  # never a pickle
}
CODE = ("*.py",)
HIDDEN = (".*", "*/.*", MANIFEST)  # hidden files, and the name of our own manifest (`stages.hub.manifest`)
ABOUT_ROWS = ("*/manifest.json", "dataset_infos.json", "*/dataset_infos.json")
COPIES = tuple(f"{start}{name}/*" for start in ("", "*/") for name in ("onnx", "openvino", "coreml", "runs", "checkpoint-*"))
"""Folders with another copy of a model, or its history."""


def patterns(kind: str, code: bool = False, evaluation: bool = False) -> tuple[str, ...]:
    """The names of the files of a kind, or of a kind of evaluation set. ``code``: a model may bring Python files, which are run."""
    return (EVALUATION[kind] if evaluation else FILES.get(kind, ROWS)) + (CODE if code else ())


def wanted(paths: Iterable[str], kind: str, code: bool = False, evaluation: bool = False) -> set[str]:
    """Those of a repository's ``paths`` that a set of this kind needs. A test split is left out of training sets."""
    from huggingface_hub.utils import filter_repo_objects  # slow to import

    paths, rows = set(paths), kind not in FILES and not evaluation
    ignored = [*HIDDEN, *(ABOUT_ROWS if rows else COPIES if kind == "model" else ())]
    key = str.lower if rows else str
    found = set(filter_repo_objects(paths, allow_patterns=[*patterns(kind, code, evaluation)], ignore_patterns=ignored, key=key))
    if rows:
        found = {path for path in found if split_of(PurePosixPath(path)) != "test"}
    return found | (paths & {CARD})
