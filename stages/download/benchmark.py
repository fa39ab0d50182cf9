"""The tasks of an MTEB benchmark, each a Hub repository of many languages, as one folder of one language in NanoBEIR's form.

mteb loads a task's configs ``<subset>-corpus``, ``<subset>-queries`` and ``<subset>-qrels``. Which files these are stands in the header of
the repository's card, and nowhere else: `datasets` knows no other way.
"""

import shutil
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Any

from stages.hub.manifest import header
from stages.runtime.errors import UserError

PARTS = ("corpus", "queries", "qrels")
SPLIT = "test"


def part_patterns(card: str, subset: str, repo: str, key: str) -> dict[str, list[str]]:
    """Patterns of the parquet files of each part, as a card declares them: those of the split test, or of the only split.

    Raises:
        UserError: naming ``key``: the card of ``repo`` declares no such config, or no such split in it.
    """
    configs = header(card).get("configs")
    listed = configs if isinstance(configs, list) else []
    declared = {each.get("config_name"): each.get("data_files") for each in listed if isinstance(each, dict)}
    patterns = {}
    for part in PARTS:
        name = f"{subset}-{part}"
        if not (found := _of_split(declared.get(name))):
            raise UserError(f"{key}: the card of {repo} names no files of {name}, split {SPLIT}; correct the subset, or set enabled: false")
        patterns[part] = found
    return patterns


def matching(paths: Sequence[str], patterns: Sequence[str]) -> list[str]:
    """The parquet files among ``paths`` that one of the patterns names, in order."""
    return sorted(path for path in paths if path.endswith(".parquet") and any(fnmatchcase(path, pattern) for pattern in patterns))


def lay_out(files: Path, patterns: dict[str, list[str]], name: str, folder: Path) -> None:
    """Move the files of each part, which lie in ``files``, to ``folder``/<part>/<name>-00000-of-00001.parquet."""
    paths = [path.relative_to(files).as_posix() for path in files.rglob("*") if path.is_file()]
    for part in PARTS:
        shards = matching(paths, patterns[part])
        (folder / part).mkdir(exist_ok=True)
        for number, path in enumerate(shards):
            shutil.move(files / path, folder / part / f"{name}-{number:05}-of-{len(shards):05}.parquet")


def set_name(task: str) -> str:
    """The name of a task's set: NanoNQ for MultilingualNanoNQRetrieval."""
    return task.removeprefix("Multilingual").removesuffix("Retrieval")


def _of_split(data_files: Any) -> list[str]:
    """The patterns of `SPLIT`, or of the only split, in a config's data_files: a pattern, some, or some for each split."""
    given = data_files if isinstance(data_files, list) else [data_files]
    by_split = {each["split"]: each.get("path") for each in given if isinstance(each, dict) and "split" in each}
    if by_split:
        chosen = by_split.get(SPLIT, next(iter(by_split.values())) if len(by_split) == 1 else None)
        given = chosen if isinstance(chosen, list) else [chosen]
    return [PurePosixPath(pattern).as_posix() for pattern in given if isinstance(pattern, str)]
