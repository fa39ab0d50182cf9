"""Where relative paths of params.yaml start: the checkout, also if dvc works in a copy of it (`dvc exp run --temp`, `--queue`)."""

import os
from pathlib import Path

ROOT = "NORDIC_SPARSE_ROOT"
"""Environment variable: the root, if it is not the checkout in which dvc was started (a clone that works for another checkout)."""


def root() -> Path:
    """The checkout whose params.yaml is at work. dvc sets DVC_ROOT for every stage: in an experiment's copy, the checkout it came from."""
    return Path(os.environ.get(ROOT) or os.environ.get("DVC_ROOT") or ".")


def place(path: str | Path) -> Path:
    """Where a path of params.yaml lies: a relative one below `root`; ``~`` is the home folder."""
    return root() / Path(path).expanduser()
