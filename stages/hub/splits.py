"""Which split a name tells: of a file, of a folder, or of a row's field ``split``. Nothing heavy is imported: download asks too."""

import re
from pathlib import PurePath
from typing import Literal

Split = Literal["train", "dev"]
SPLITS = {
    "train": {"train", "training"},
    "dev": {"dev", "development", "devel", "validation", "valid", "val"},
    "test": {"test", "testing", "eval", "evaluation"},
}


def split_named(name: str) -> str | None:
    """The split (train, dev or test) that is a word of ``name``; None if none is.

    >>> split_named("train-00000-of-00002"), split_named("Validation"), split_named("train_part2"), split_named("protest")
    ('train', 'dev', 'train', None)
    """
    words = set(re.split(r"[^a-z]+", name.lower()))
    return next((split for split, names in SPLITS.items() if words & names), None)


def split_of(path: PurePath) -> str | None:
    """The split that a file's name tells, or else the nearest folder that tells one; ``path`` is relative to the data set's folder."""
    parts = [path.name.split(".")[0], *reversed(path.parts[:-1])]
    return next((split for part in parts if (split := split_named(part))), None)
