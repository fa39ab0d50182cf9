"""Fetches files: a pinned snapshot from the Hub with its manifest, or a copy of a local folder or file."""

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stages.config.own_paths import local_files
from stages.download.wanted import patterns, wanted
from stages.hub.manifest import CARD, manifest, write_manifest
from stages.runtime.errors import UserError
from stages.runtime.files import atomic_write
from stages.runtime.root import place

if TYPE_CHECKING:
    from stages.hub.snapshot import Select

DOWNLOADS = Path(os.environ.get("NORDIC_SPARSE_DOWNLOADS") or ".downloads")
"""Unfinished downloads, outside DVC's outputs, so that a killed one can resume; NORDIC_SPARSE_DOWNLOADS names another folder."""
PATIENCE = "DOWNLOAD_PATIENCE"
"""Environment variable: caps the total back-off in seconds when the Hub fails (default 60)."""


Check = Callable[[Path, bool], None]
"""Checks a folder, first without the weights (False), then complete (True). If it raises, the download ends; its files are kept."""


def fetch_files(origin: Mapping[str, Any], target: Path, key: str, repo_type: str, check: Check | None = None) -> None:
    """Write the folder ``target``, with its manifest, from ``repo`` with ``revision`` or from ``path``."""
    if origin["repo"]:
        with ExitStack() as downloads:
            files, about = download(downloads, origin, key, repo_type, inspect=(lambda folder: check(folder, False)) if check else None)
            if check:
                check(files, True)
            with atomic_write(target) as folder:
                write_manifest(files, about)
                shutil.move(files, folder)
        return
    if check:
        check(place(origin["path"]), True)
    with atomic_write(target) as folder:
        copy(place(origin["path"]), folder, key if check else f"{key}.path", origin.get("files"))
        write_manifest(folder, manifest(folder, kind=origin.get("kind")))


def download(
    downloads: ExitStack,
    origin: Mapping[str, Any],
    key: str,
    repo_type: str,
    select: "Select | None" = None,
    inspect: Callable[[Path], None] | None = None,
) -> tuple[Path, dict[str, Any]]:
    """The folder of a complete snapshot, which the caller may move until ``downloads`` closes, and its manifest.

    ``select`` chooses files as `stages.hub.snapshot` says; by default those that the kind reads. ``inspect``: see there.
    """
    from stages.hub.repository import Source
    from stages.hub.snapshot import snapshot

    repo, revision = origin["repo"], origin["revision"]
    source = Source(repo, revision, repo_type, key)
    select = select or (lambda paths, _: _select(paths, origin, key))
    files, listed = downloads.enter_context(snapshot(source, select, DOWNLOADS, inspect=inspect, patience=_patience()))
    digests = {file.path: file.lfs.sha256 for file in listed if file.lfs}
    return files, manifest(files, kind=origin["kind"], repo=repo, revision=revision, digests=digests)


def _select(paths: Sequence[str], origin: Mapping[str, Any], key: str) -> set[str]:
    """The files that the kind reads; `UserError` before the first is downloaded if they would be of no use."""
    repo, kind, code = origin["repo"], origin["kind"], bool(origin.get("trust_remote_code"))
    evaluation = key.startswith("evaluation.sets.")
    chosen = _chosen(paths, origin.get("files"), key)
    needed = wanted(chosen, kind, code, evaluation)
    if kind == "model" and not any(path.endswith(".safetensors") for path in needed):
        raise UserError(
            f"{key}: {repo} has no safetensors weights at this revision, and pickled ones are not loaded; "
            "look for a branch that has them (such as refs/pr/1), or name another model"
        )
    if not needed - {CARD}:
        names = ", ".join(patterns(kind, code, evaluation))
        raise UserError(f"{key}: {repo} has no file that kind {kind} reads ({names}); choose another kind, or a revision that has one")
    return needed


def _patience() -> float:
    given = os.environ.get(PATIENCE, "60")
    try:
        return max(0.0, float(given))
    except ValueError as error:
        raise UserError(f"{PATIENCE}: must be a number of seconds, got {given!r}; correct it, or unset it") from error


def _chosen(paths: Sequence[str], chosen: Sequence[str] | None, key: str) -> list[str]:
    """The paths that match one of the patterns ``chosen``, and the card; None: all."""
    if chosen is None:
        return list(paths)
    found = [path for path in paths if any(fnmatchcase(path, pattern) for pattern in chosen)]
    if not found:
        raise UserError(f"{key}.files: must match files ({', '.join(sorted(paths)[:5])} …), got {', '.join(chosen)}")
    return [*found, *({CARD} & set(paths) - set(found))]


def copy(path: Path, folder: Path, key: str, chosen: Sequence[str] | None = None) -> None:
    """Copy a local folder or file, without hidden files and without its manifest.json; ``chosen``: only files of these patterns."""
    if not path.exists():
        raise UserError(f"{key}: {path} does not exist; correct the path")
    folder.mkdir(exist_ok=True)
    try:
        files = local_files(path)
        for name in _chosen([*files], chosen, key.removesuffix(".path")):
            file = files[name]
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(file, folder / name)
    except OSError as error:
        raise UserError(f"{key}: {path} cannot be copied ({error}); correct that, then run `dvc repro` again") from error
