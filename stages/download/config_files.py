"""The files of a data set repository by config and split, known before any of them is downloaded.

`datasets` derives them from the repository's card and the names of its files. Here it does so for a folder of empty files with the same
names.
"""

import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

import datasets

from stages.hub.manifest import CARD
from stages.runtime.errors import UserError

ABOUT = (CARD, "dataset_infos.json")
"""The files that describe the others to `datasets`."""

DataFiles = Mapping[str, list[str]]
"""Split → paths in the repository, in order."""


@contextmanager
def empty_files(paths: Iterable[str], about: Path) -> Iterator[Path]:
    """A temporary folder with an empty file for each path; those of `ABOUT` are copied from the folder ``about``."""
    with tempfile.TemporaryDirectory(prefix="files-") as place:
        folder = Path(place).resolve() / "files"
        for path in paths:
            if not any(part.startswith(".") for part in PurePosixPath(path).parts):
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                (folder / path).write_bytes((about / path).read_bytes() if path in ABOUT else b"")
        yield folder


def data_files(folder: Path, config: str) -> DataFiles:
    """The files of a config in the folder of `empty_files`; empty if `datasets` finds no such config, or no files of it."""
    try:
        builder = datasets.load_dataset_builder(str(folder), config, cache_dir=str(folder.parent / "cache"))
    except Exception:  # `datasets` raises many types for what is wrong with a card
        return {}
    by_split: Mapping[Any, Any] = builder.config.data_files or {}
    return {str(split): [Path(path).relative_to(folder).as_posix() for path in files] for split, files in by_split.items()}


def of_split(files: DataFiles, split: str, where: str, remedy: str) -> list[str]:
    """The files of ``split``, or of the only split; `UserError`, beginning with ``where``, if there are none."""
    present = {name: paths for name, paths in files.items() if paths}
    if split not in present and len(present) != 1:
        raise UserError(f"{where} has no files of the split {split} (it has {', '.join(present) or 'none'}); {remedy}")
    return present.get(split) or next(iter(present.values()))
