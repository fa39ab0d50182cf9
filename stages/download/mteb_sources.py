"""The data of MTEB tasks, from a local folder or from the Hub, where only the configs that mteb reads are downloaded."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import datasets
from mteb.abstasks.retrieval import AbsTaskRetrieval

from stages.download.config_files import ABOUT, data_files, empty_files, of_split
from stages.download.files import copy, download
from stages.hub.manifest import manifest, write_manifest
from stages.hub.snapshot import Fetch
from stages.retrieval.mteb import expand, get_task, required_datasets, task_texts
from stages.retrieval.texts import TEXTS, write_texts
from stages.runtime.errors import UserError
from stages.runtime.files import atomic_write
from stages.runtime.root import place

REMEDY = "leave the task out"

Source = tuple[Path, Mapping[str, Any] | None]
"""The folder with a task's files, and their manifest if they are from the Hub."""


def fetch_mteb(names: Sequence[str], path: str | None, target: Path, languages: Sequence[str] = ()) -> list[str]:
    """Write ``target/<task>/`` for each MTEB task, and return their names; a benchmark's name stands for its retrieval tasks.

    The data is from ``path/<task>/`` if given, else from the Hub at the revision that mteb pins.
    ``target`` itself holds the manifest, by task (in a task's folder `datasets` would read it as rows), and the tasks' texts
    (`stages.retrieval.texts`). For the texts each task is loaded as mteb will load it, so that a task that does not load fails here,
    not after the training run. The downloaded files are then kept for the next try.

    Args:
        languages: as in `get_task`.
    """
    tasks = expand(names)
    with ExitStack() as downloads:
        sources = local_tasks(tasks, place(path)) if path else hub_tasks(tasks, downloads, languages)
        with atomic_write(target) as folder:
            folder.mkdir()
            write_texts(folder / TEXTS, {task: task_texts(task, files, languages) for task, (files, _) in sources.items()})
            for task, (files, _) in sources.items():
                copy(files, folder / task, "evaluation.mteb_path")
            write_manifest(folder, {task: about or manifest(folder / task, kind="mteb") for task, (_, about) in sources.items()})
    return tasks


def local_tasks(tasks: Sequence[str], path: Path) -> dict[str, Source]:
    """The folders ``path``/<task>; `UserError` if one does not exist."""
    if missing := [task for task in tasks if not (path / task).exists()]:
        raise UserError(f"evaluation.mteb_path: {path / missing[0]} does not exist; correct the path")
    return {task: (path / task, None) for task in tasks}


def hub_tasks(tasks: Sequence[str], downloads: ExitStack, languages: Sequence[str] = ()) -> dict[str, Source]:
    """The files that mteb reads of each task's repository, at the revision that mteb pins. They are there until ``downloads`` closes."""
    sharing: dict[tuple[str, str], list[str]] = {}  # tasks may share a data set
    for task, pinned in required_datasets(tasks).items():
        sharing.setdefault(pinned, []).append(task)
    found: dict[str, Source] = {}
    for (repo, revision), some in sharing.items():
        key = f"evaluation.mteb: {', '.join(some)}"

        def select(paths: Sequence[str], fetch: Fetch) -> set[str]:
            about = fetch({*ABOUT} & {*paths})
            return set().union(*(needed(task, paths, about, f"{key}: {repo}", languages) for task in some))  # noqa: B023

        origin = {"repo": repo, "revision": revision, "kind": "mteb"}
        found |= dict.fromkeys(some, download(downloads, origin, key, "dataset", select))
    return {task: found[task] for task in tasks}


def needed(task_name: str, paths: Sequence[str], about: Path, where: str, languages: Sequence[str] = ()) -> set[str]:
    """Those of a repository's ``paths`` that mteb reads; the files of `ABOUT` are in the folder ``about``.

    mteb's own loader reads some of the configs. A task with a loader of its own may read them all. All splits of a config are needed:
    `datasets` refuses a config whose card declares a split that is not there.

    Raises:
        UserError: beginning with ``where``: a config or split that mteb reads is missing, or there is no data at all.
    """
    task = get_task(task_name, languages)
    with empty_files(paths, about) as folder:
        try:
            names = datasets.get_dataset_config_names(str(folder))
        except Exception as error:  # `datasets` raises many types for what is wrong with a card or with the names of the files
            reason = " ".join(str(error).replace(f"{folder}/", "").replace(str(folder), "it").split()) or type(error).__name__
            raise UserError(f"{where} holds no data that mteb can read ({reason}); {REMEDY}") from error
        if type(task).load_data is not AbsTaskRetrieval.load_data:
            found = {name: data_files(folder, name) for name in names}
        else:
            found = {name: data_files(folder, name) for name in _configs(task, names, where)}
            for name, files in found.items():
                for split in task.eval_splits:
                    of_split(files, split, f"{where}, config {name},", REMEDY)
            found.setdefault(names[0], data_files(folder, names[0]))  # from whose files `datasets` infers the format of all
    chosen = {path for files in found.values() for some in files.values() for path in some}
    if not chosen:
        raise UserError(f"{where} holds no data that mteb can read; {REMEDY}")
    return chosen | ({*ABOUT} & {*paths})


def _configs(task: AbsTaskRetrieval, names: list[str], where: str) -> list[str]:
    """The configs that mteb's own loader reads, as `mteb.abstasks.retrieval_dataset_loaders` chooses them."""
    prefixes = [f"{subset}-" for subset in task.hf_subsets] if task.metadata.is_multilingual else [""]
    configs = []
    for prefix in prefixes:
        qrels = "default" if not prefix and "default" in names else f"{prefix}qrels"
        required = [qrels, f"{prefix}corpus", "query" if "query" in names else f"{prefix}queries"]
        if missing := [name for name in required if name not in names]:
            raise UserError(f"{where} has no config {missing[0]}, which mteb reads (it has {', '.join(names)}); {REMEDY}")
        configs += [*required, *(name for name in (f"{prefix}top_ranked", f"{prefix}instruction") if name in names)]
    return configs
