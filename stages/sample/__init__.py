"""The built-in data: four small training sets and an evaluation set, written by us, in the native forms of the real ones. ``esci`` is both.

Everything follows from the seed: the same seed gives the same bytes on every platform. All facts, people and brands are invented.
"""

from importlib import import_module
from pathlib import Path

DATASETS = ("nli", "qa", "ddsc", "esci")
EVALUATION_SETS = ("sample", "esci")


def write_set(name: str, folder: Path, seed: int = 0) -> None:
    """Write a set of `DATASETS` or `EVALUATION_SETS` in its native files into ``folder``, which is created if missing."""
    folder.mkdir(parents=True, exist_ok=True)
    import_module(f"stages.sample.{'evaluation' if name == 'sample' else name}").write(folder, seed)
