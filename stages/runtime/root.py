"""Relative paths in params.yaml start at the checkout, also while dvc works in a copy of it (`dvc exp run --temp`, `--queue`)."""

import os
from pathlib import Path

ROOT = "NORDIC_SPARSE_ROOT"
"""Environment variable that overrides the root, for a clone that works on behalf of another checkout."""
SWEEP, PROGRESS = "NORDIC_SPARSE_SWEEP", "NORDIC_SPARSE_PROGRESS"
"""Environment variables of a sweep's trial: the name of its sweep; the file to which training writes how far it is."""


def root() -> Path:
    """The checkout that relative paths start at. dvc sets DVC_ROOT for every stage; in an experiment's copy it is the original checkout."""
    return Path(os.environ.get(ROOT) or os.environ.get("DVC_ROOT") or ".")


def place(path: str | Path) -> Path:
    """A path of params.yaml as one that can be opened: relative ones start at `root`, ``~`` is the home folder."""
    return root() / Path(path).expanduser()
