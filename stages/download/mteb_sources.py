"""Where the data of MTEB tasks comes from: a local folder, or the Hub, of which only the files come that mteb reads."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stages.download.mteb_files import ABOUT, CONFIGS, Needed, needed
from stages.retrieval.mteb import required_datasets
from stages.runtime.errors import UserError

Snapshot = Callable[..., tuple[Path, dict[str, Any]]]
"""Brings the selected files of a Hub repository: `stages.download.__main__._snapshot`."""


@dataclass(frozen=True)
class TaskFiles:
    """The folder with the files of a task; if they are from the Hub, also their manifest and what tells `datasets` about them."""

    files: Path
    about: Mapping[str, Any] | None = None
    needed: Needed | None = None

    def describe(self, folder: Path) -> None:
        """Tell `datasets` about the files, which lie in ``folder``."""
        if self.needed is not None:
            self.needed.describe(folder)
        elif folder != self.files and (self.files / CONFIGS).is_file():
            shutil.copy(self.files / CONFIGS, folder)


def local_tasks(tasks: Sequence[str], path: Path) -> dict[str, TaskFiles]:
    """The folders ``path``/<task>; `UserError` if one does not exist."""
    if missing := [task for task in tasks if not (path / task).exists()]:
        raise UserError(f"evaluation.mteb_path: {path / missing[0]} does not exist; correct the path")
    return {task: TaskFiles(path / task) for task in tasks}


def hub_tasks(tasks: Sequence[str], downloads: ExitStack, snapshot: Snapshot, store: Path) -> dict[str, TaskFiles]:
    """The files that mteb reads of each task's repository, at the revision that mteb pins; they stay until ``downloads`` closes.

    The repositories' cards, which say what the other files are, go to ``store``/cards, where they do not clear these away.
    """
    sharing: dict[tuple[str, str], list[str]] = {}  # tasks may share a data set
    for task, place in required_datasets(tasks).items():
        sharing.setdefault(place, []).append(task)
    downloads.callback(_remove_empty, store)
    found: dict[str, TaskFiles] = {}
    for (repo, revision), some in sharing.items():
        found |= _repository(some, repo, revision, downloads, snapshot, store / "cards")
    return {task: found[task] for task in tasks}


def _repository(
    tasks: Sequence[str], repo: str, revision: str, downloads: ExitStack, snapshot: Snapshot, cards: Path
) -> dict[str, TaskFiles]:
    key, origin = f"evaluation.mteb: {', '.join(tasks)}", {"repo": repo, "revision": revision, "kind": "mteb"}
    reads: dict[str, Needed] = {}
    card, _ = snapshot(downloads, origin, key, "dataset", lambda paths: {*ABOUT} & {*paths}, cards)

    def select(paths: Sequence[str]) -> set[str]:
        reads.update({task: needed(task, paths, card, f"{key}: {repo}") for task in tasks})
        return set().union(*(each.paths for each in reads.values()))

    files, about = snapshot(downloads, origin, key, "dataset", select)
    return {task: TaskFiles(files, about, reads[task]) for task in tasks}


def _remove_empty(folder: Path) -> None:
    with suppress(OSError):
        folder.rmdir()
