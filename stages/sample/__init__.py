"""The built-in data: four small training sets and one evaluation set, written by us, in the native forms of the real ones.

Everything follows from the seed: the same seed gives the same bytes on every platform. All facts, people and brands are invented.
"""

from importlib import import_module
from pathlib import Path

DATASETS = ("nli", "qa", "ddsc", "esci")
EVALUATION_SETS = ("sample",)


def write_set(name: str, folder: Path, seed: int = 0) -> None:
    """Write a set of `DATASETS` in its native files, or of `EVALUATION_SETS` in NanoBEIR's form, into ``folder``, made if need be."""
    folder.mkdir(parents=True, exist_ok=True)
    import_module(f"stages.sample.{'evaluation' if name in EVALUATION_SETS else name}").write(folder, seed)
