"""Where the data of MTEB tasks comes from: a local folder, or the Hub, of which only the files come that mteb reads."""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stages.download.files import DOWNLOADS, bring, copy
from stages.download.mteb_files import ABOUT, CONFIGS, Needed, needed
from stages.hub.manifest import manifest, write_manifest
from stages.retrieval.mteb import required_datasets, task_texts
from stages.retrieval.texts import TEXTS, Role, write_texts
from stages.runtime.errors import UserError
from stages.runtime.files import atomic_write
from stages.runtime.root import place


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


def fetch_mteb(tasks: Sequence[str], path: str | None, target: Path) -> None:
    """Write ``target/<task>/`` for each MTEB task: from ``path/<task>/`` where given, else from the Hub at the revision mteb pins.

    The manifest stands in ``target``, by task: within a task's folder `datasets` would read it as rows. So do the tasks' texts
    (`stages.retrieval.texts`), for which each task is loaded as mteb will load it: one that does not load stops here, not after the
    training run, and what was downloaded stays in `DOWNLOADS` for the next try.
    """
    with ExitStack() as downloads:
        sources = local_tasks(tasks, place(path)) if path else hub_tasks(tasks, downloads)

        def texts(task: str) -> Iterator[tuple[Role, str]]:
            sources[task].describe(sources[task].files)
            yield from task_texts(task, sources[task].files)

        with atomic_write(target) as folder:
            folder.mkdir()
            write_texts(folder / TEXTS, {task: texts(task) for task in tasks})
            placed: dict[Path, Path] = {}
            for task, source in sources.items():
                if path:
                    copy(source.files, folder / task, "evaluation.mteb_path")
                elif source.files in placed:
                    shutil.copytree(placed[source.files], folder / task)
                else:
                    placed[source.files] = Path(shutil.move(source.files, folder / task))
                source.describe(folder / task)
            write_manifest(folder, {task: source.about or manifest(folder / task, kind="mteb") for task, source in sources.items()})


def local_tasks(tasks: Sequence[str], path: Path) -> dict[str, TaskFiles]:
    """The folders ``path``/<task>; `UserError` if one does not exist."""
    if missing := [task for task in tasks if not (path / task).exists()]:
        raise UserError(f"evaluation.mteb_path: {path / missing[0]} does not exist; correct the path")
    return {task: TaskFiles(path / task) for task in tasks}


def hub_tasks(tasks: Sequence[str], downloads: ExitStack) -> dict[str, TaskFiles]:
    """The files that mteb reads of each task's repository, at the revision that mteb pins; they stay until ``downloads`` closes."""
    sharing: dict[tuple[str, str], list[str]] = {}  # tasks may share a data set
    for task, pinned in required_datasets(tasks).items():
        sharing.setdefault(pinned, []).append(task)
    downloads.callback(_remove_empty, DOWNLOADS)
    found: dict[str, TaskFiles] = {}
    for (repo, revision), some in sharing.items():
        key, origin = f"evaluation.mteb: {', '.join(some)}", {"repo": repo, "revision": revision, "kind": "mteb"}
        # The card says what the other files are. It has a folder of its own, in which it does not clear these away.
        card, _ = bring(downloads, origin, key, "dataset", lambda paths: {*ABOUT} & {*paths}, DOWNLOADS / "cards")
        reads: dict[str, Needed] = {}

        def select(paths: Sequence[str]) -> set[str]:
            reads.update({task: needed(task, paths, card, f"{key}: {repo}") for task in some})  # noqa: B023
            return set().union(*(each.paths for each in reads.values()))  # noqa: B023

        files, about = bring(downloads, origin, key, "dataset", select)
        found |= {task: TaskFiles(files, about, reads[task]) for task in some}
    return {task: found[task] for task in tasks}


def _remove_empty(folder: Path) -> None:
    with suppress(OSError):
        folder.rmdir()
