"""Writes the tasks of an MTEB benchmark, each a Hub repository of many languages, as one folder of one language in NanoBEIR's form.

mteb loads a task's configs ``<subset>-corpus``, ``<subset>-queries`` and ``<subset>-qrels``; only their files are downloaded.
"""

import shutil
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from stages.download.files import download
from stages.hub.manifest import CARD, write_manifest
from stages.runtime.files import atomic_write

if TYPE_CHECKING:
    from stages.hub.snapshot import Fetch

PARTS = ("corpus", "queries", "qrels")
SPLIT = "test"


def fetch_benchmark(name: str, subset: str, target: Path, key: str) -> None:
    """Write ``target`` in NanoBEIR's form: a split for each task of mteb's benchmark ``name``, each at the revision that mteb pins."""
    from stages.retrieval.mteb import benchmark_tasks, required_datasets

    with ExitStack() as downloads:
        snapshots = {}
        for task, (repo, revision) in required_datasets(benchmark_tasks(name)).items():
            parts: dict[str, list[str]] = {}

            def select(paths: Sequence[str], fetch: "Fetch", parts: dict[str, list[str]] = parts, repo: str = repo) -> set[str]:
                parts |= part_files(paths, fetch({CARD} & {*paths}), subset, f"{key}: {repo}")
                return {CARD}.union(*parts.values())

            origin = {"repo": repo, "revision": revision, "kind": "nanobeir"}
            snapshots[task] = (*download(downloads, origin, key, "dataset", select), parts)
        with atomic_write(target) as folder:
            folder.mkdir()
            write_manifest(folder, {task: about for task, (_, about, _) in snapshots.items()})
            for task, (files, _, parts) in snapshots.items():
                lay_out(files, parts, set_name(task), folder)


def part_files(paths: Sequence[str], about: Path, subset: str, where: str) -> dict[str, list[str]]:
    """The files of each part: those of the split test, or of the only split. The card is in the folder ``about``.

    Raises:
        UserError: beginning with ``where``: the repository has no such config, or no such split in it.
    """
    from stages.download.config_files import data_files, empty_files, of_split

    parts, remedy = {}, "correct the subset, or set profile: none"
    with empty_files(paths, about) as folder:
        for part in PARTS:
            config = f"{subset}-{part}"
            parts[part] = of_split(data_files(folder, config), SPLIT, f"{where}, config {config},", remedy)
    return parts


def lay_out(files: Path, parts: Mapping[str, Sequence[str]], name: str, folder: Path) -> None:
    """Move the files of each part, paths in the folder ``files``, to ``folder``/<part>/<name>-00000-of-00001.parquet."""
    for part, paths in parts.items():
        (folder / part).mkdir(exist_ok=True)
        for number, path in enumerate(paths):
            shutil.move(files / path, folder / part / f"{name}-{number:05}-of-{len(paths):05}{Path(path).suffix}")


def set_name(task: str) -> str:
    """The name of a task's set: NanoNQ for MultilingualNanoNQRetrieval."""
    return task.removeprefix("Multilingual").removesuffix("Retrieval")
