"""What is wrong with the names and local paths of entries in params.yaml; called by `stages.resolve.checks`."""

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from stages.config.own_paths import own_paths, root
from stages.config.schema import Params

OUTPUTS = (
    *(f"data/{name}" for name in ("raw", "eval", "mteb", "formatted", "mined", "mixed", "validation")),
    *(f"models/{name}" for name in ("base", "miner", "cross-encoder", "made", "final")),
)
"""What the stages write: as an input it would change with every run."""


def check_names(params: Params) -> Iterator[str]:
    """Yield a line for names that a file system could confuse."""
    for table, names in (("datasets", params.datasets), ("evaluation.sets", params.evaluation.sets), ("models", params.models)):
        for lower, number in Counter(name.lower() for name in names).items():
            if number > 1:
                same = " and ".join(name for name in names if name.lower() == lower)
                yield f"{table}: {same} differ in upper and lower case only, which some file systems do not tell apart; rename one of them"


def check_own_paths(params: Params) -> Iterator[str]:
    """Yield a line for each path that would change with every run: an output of the pipeline, or a folder around all of it."""
    checkout = Path(os.path.realpath(root()))
    for key, path in own_paths(params).items():
        real = Path(os.path.realpath(path))
        if checkout.is_relative_to(real):
            yield f"{key}: {path} contains the checkout itself; name a folder with nothing but the files to read"
        elif any(real.is_relative_to(checkout / output) for output in OUTPUTS):
            yield f"{key}: {path} is replaced by later runs; copy it to another folder, and name the copy"
