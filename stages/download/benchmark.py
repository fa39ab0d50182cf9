"""The tasks of an MTEB benchmark, each a Hub repository of many languages, as one folder of one language in NanoBEIR's form.

mteb loads a task's configs ``<subset>-corpus``, ``<subset>-queries`` and ``<subset>-qrels``. Which files these are stands in the header of
the repository's card, and nowhere else: `datasets` knows no other way.
"""

import shutil
from collections.abc import Sequence
from contextlib import ExitStack
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Any

from stages.download.files import DOWNLOADS, bring
from stages.hub.manifest import header, write_manifest
from stages.hub.wanted import CARD
from stages.runtime.errors import UserError
from stages.runtime.files import atomic_write

PARTS = ("corpus", "queries", "qrels")
SPLIT = "test"


def fetch_benchmark(name: str, subset: str, target: Path, key: str) -> None:
    """Write ``target`` in NanoBEIR's form: a split for each task of mteb's benchmark ``name``, each at the revision that mteb pins."""
    from stages.retrieval.mteb import benchmark_tasks, required_datasets

    with ExitStack() as downloads:
        snapshots = {}
        for task, (repo, revision) in required_datasets(benchmark_tasks(name)).items():
            origin = {"repo": repo, "revision": revision, "kind": "nanobeir"}
            with ExitStack() as first:  # in a place of its own: it must not clear away what is there of the files
                card, _ = bring(first, origin, key, "dataset", lambda paths: {CARD} & set(paths), DOWNLOADS / "cards")
                text = (card / CARD).read_text(encoding="utf-8", errors="replace") if (card / CARD).exists() else ""
            patterns = part_patterns(text, subset, repo, key)

            def needed(paths: Sequence[str], patterns: dict[str, list[str]] = patterns, repo: str = repo) -> set[str]:
                if lacking := [part for part, some in patterns.items() if not matching(paths, some)]:
                    raise UserError(f"{key}: {repo} lacks the files that its card names for {subset}-{lacking[0]}; set profile: none")
                return {CARD}.union(*(matching(paths, some) for some in patterns.values()))

            snapshots[task] = (*bring(downloads, origin, key, "dataset", needed), patterns)
        with atomic_write(target) as folder:
            folder.mkdir()
            write_manifest(folder, {task: about for task, (_, about, _) in snapshots.items()})
            for task, (files, _, patterns) in snapshots.items():
                lay_out(files, patterns, set_name(task), folder)


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
            raise UserError(f"{key}: the card of {repo} names no files of {name}, split {SPLIT}; correct the subset, or set profile: none")
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
