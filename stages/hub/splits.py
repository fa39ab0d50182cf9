"""The split that the name of a file or folder, or a row's field ``split``, stands for."""

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
    """The split (train, dev or test) that is a word of ``name``, or None.

    >>> split_named("train-00000-of-00002"), split_named("Validation"), split_named("train_part2"), split_named("protest")
    ('train', 'dev', 'train', None)
    """
    words = set(re.split(r"[^a-z]+", name.lower()))
    return next((split for split, names in SPLITS.items() if words & names), None)


def split_of(path: PurePath) -> str | None:
    """The split in a file's name, or else in the nearest folder's; ``path`` is relative to the data set's folder."""
    parts = [path.name.split(".")[0], *reversed(path.parts[:-1])]
    return next((split for part in parts if (split := split_named(part))), None)
