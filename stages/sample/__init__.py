"""The built-in data: four small training sets and one evaluation set, written by us, in the native forms of the real ones.

Everything follows from the seed: the same seed gives the same bytes on every platform. All facts, people and brands are invented.
"""

from importlib import import_module
from pathlib import Path

DATASETS = ("nli", "qa", "ddsc", "esci")
EVALUATION_SETS = ("sample",)


def write_dataset(name: str, folder: Path, seed: int = 0) -> None:
    """Write training set ``name``, one of `DATASETS`, into ``folder`` in its native files; the folder is made if need be.

    Raises ValueError for another name.
    """
    if name not in DATASETS:
        raise ValueError(f"{name!r} is not a built-in data set; there are {', '.join(DATASETS)}")
    folder.mkdir(parents=True, exist_ok=True)
    import_module(f"stages.sample.{name}").write(folder, seed)


def write_evaluation_set(name: str, folder: Path, seed: int = 0) -> None:
    """Write evaluation set ``name``, one of `EVALUATION_SETS`, into ``folder`` in NanoBEIR's form.

    Raises ValueError for another name.
    """
    if name not in EVALUATION_SETS:
        raise ValueError(f"{name!r} is not a built-in evaluation set; there is {', '.join(EVALUATION_SETS)}")
    from stages.sample import evaluation

    folder.mkdir(parents=True, exist_ok=True)
    evaluation.write(folder, seed)
