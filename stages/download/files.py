"""How files come: a pinned snapshot from the Hub with its manifest, or a copy of a local folder or file."""

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from stages.config.own_paths import local_files
from stages.hub.manifest import manifest, write_manifest
from stages.hub.wanted import CARD, patterns, wanted
from stages.runtime.errors import UserError
from stages.runtime.files import atomic_write
from stages.runtime.root import place

DOWNLOADS = Path(".downloads")
"""What is under way, outside DVC's outputs: a download that was killed is resumed from there."""
PATIENCE = "DOWNLOAD_PATIENCE"
"""Environment variable: caps the total back-off in seconds when the Hub fails (default 60)."""


class Check(Protocol):
    """Checks a folder, at first without the weights, then complete. What it raises ends the download; what came down is kept."""

    def __call__(self, folder: Path, complete: bool) -> None: ...


def fetch_files(origin: Mapping[str, Any], target: Path, key: str, repo_type: str, check: Check | None = None) -> None:
    """Write the folder ``target``, with its manifest, from ``repo`` with ``revision`` or from ``path``."""
    if origin["repo"]:
        with ExitStack() as downloads:
            files, about = bring(downloads, origin, key, repo_type, inspect=partial(check, complete=False) if check else None)
            if check:
                check(files, complete=True)
            with atomic_write(target) as folder:
                write_manifest(files, about)
                shutil.move(files, folder)
        return
    if check:
        check(place(origin["path"]), complete=True)
    with atomic_write(target) as folder:
        copy(place(origin["path"]), folder, key if check else f"{key}.path")
        write_manifest(folder, manifest(folder, kind=origin.get("kind")))


def bring(
    downloads: ExitStack,
    origin: Mapping[str, Any],
    key: str,
    repo_type: str,
    select: Callable[[Sequence[str]], set[str]] | None = None,
    store: Path = DOWNLOADS,
    inspect: Callable[[Path], None] | None = None,
) -> tuple[Path, dict[str, Any]]:
    """The folder of a complete snapshot, which is the caller's to move until ``downloads`` closes, and its manifest.

    ``select`` says which of the repository's files are needed; else those that the kind reads. ``inspect``: see `stages.hub.snapshot`.
    """
    from stages.hub.repository import Source
    from stages.hub.snapshot import snapshot

    repo, revision = origin["repo"], origin["revision"]
    chosen = select or partial(_select, origin=origin, key=key)
    source = Source(repo, revision, repo_type, key)
    files, listed = downloads.enter_context(snapshot(source, chosen, store, inspect=inspect, patience=_patience()))
    digests = {file.path: file.sha256 for file in listed if file.sha256}
    return files, manifest(files, kind=origin["kind"], repo=repo, revision=revision, digests=digests)


def _select(paths: Sequence[str], origin: Mapping[str, Any], key: str) -> set[str]:
    """The files of a repository that are needed; `UserError` before the first comes down where they would be no use."""
    repo, kind, code = origin["repo"], origin["kind"], bool(origin.get("trust_remote_code"))
    needed = set(filter(wanted(kind, code), paths))
    if kind == "model" and not any(path.endswith(".safetensors") for path in needed):
        raise UserError(
            f"{key}: {repo} has no safetensors weights at this revision, and pickled ones are not loaded; "
            "look for a branch that has them (such as refs/pr/1), or name another model"
        )
    if not needed - {CARD}:
        names = ", ".join(patterns(kind, code))
        raise UserError(f"{key}: {repo} has no file that kind {kind} reads ({names}); choose another kind, or a revision that has one")
    return needed


def _patience() -> float:
    given = os.environ.get(PATIENCE, "60")
    try:
        return max(0.0, float(given))
    except ValueError as error:
        raise UserError(f"{PATIENCE}: is {given!r}; give a number of seconds, or unset it") from error


def copy(path: Path, folder: Path, key: str) -> None:
    """Copy a local folder or file, without what is hidden and without a manifest of its own."""
    if not path.exists():
        raise UserError(f"{key}: {path} does not exist; correct the path")
    folder.mkdir(exist_ok=True)
    try:
        for name, file in local_files(path).items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(file, folder / name)
    except OSError as error:
        raise UserError(f"{key}: {path} cannot be copied ({error}); correct that, then run `dvc repro` again") from error
