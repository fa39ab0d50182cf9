"""Local paths in params.yaml: which files count, and a digest of their contents."""

import hashlib
import json
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stages.hub.manifest import MANIFEST, sha256
from stages.runtime.errors import UserError
from stages.runtime.files import read_json, write_json
from stages.runtime.root import place, root

if TYPE_CHECKING:
    from stages.config.schema import Location, Params

MEMO = Path(".dvc/tmp/own_paths.json")
"""Cache below the root: the sha256 of each file with its path, size, times and inode, so that unchanged files are not read again."""
SETTLED = 2.0  # seconds; a younger file could change again within the resolution of its time stamps, which would go unnoticed


def entries_used(params: "Params") -> dict[str, "Location"]:
    """The data sets and evaluation sets that the profile uses, by their key in params.yaml."""
    tables: dict[str, Mapping[str, Location]] = {"datasets": params.datasets, "evaluation.sets": params.evaluation.sets}
    return {f"{table}.{name}": entry for table, entries in tables.items() for name, entry in params.used(entries).items()}


def own_paths(params: "Params") -> dict[str, Path]:
    """The local paths of data and models that this run reads, by the key of params.yaml that names them."""
    paths = {f"{key}.path": entry.path for key, entry in entries_used(params).items() if entry.path}
    if folder := params.evaluation.mteb_path:
        tasks = params.evaluation.mteb
        paths |= {f"evaluation.mteb_path ({task})": f"{folder}/{task}" for task in tasks if place(f"{folder}/{task}").exists()}
        if any(f"evaluation.mteb_path ({task})" not in paths for task in tasks):  # a benchmark; only mteb knows its tasks
            paths["evaluation.mteb_path"] = folder
    paths |= {key: path for key, model in params.models_used().items() if (path := params.entry(model).path)}
    return {key: place(path) for key, path in paths.items()}


def local_files(path: Path) -> dict[str, Path]:
    """The files at ``path``, a file or a folder, by their path relative to it, in a fixed order.

    Hidden files are left out, and so is a manifest.json at the top of a folder, which the pipeline writes itself.

    Raises:
        OSError: an entry cannot be read, such as a broken link, or is neither a file nor a folder.
    """
    folder = path if path.is_dir() else path.parent
    return {file.relative_to(folder).as_posix(): file for file in _below(path) if file != path / MANIFEST}


def digests(paths: Mapping[str, Path]) -> dict[str, str]:
    """A digest of the names and contents of the files at each path, 16 hexadecimal digits, by key.

    Args:
        paths: the paths, by the key in params.yaml that error messages name.

    Raises:
        UserError: a file cannot be read.
    """
    memo_file = root() / MEMO
    known: dict[str, list[Any]] = {}
    with suppress(OSError, ValueError):  # a memo that cannot be read costs only time
        known = read_json(memo_file)
    memo = dict(known)
    found = {}
    for key, path in paths.items():
        try:
            content = {name: _sha256(file, memo) for name, file in local_files(path).items()}
        except OSError as error:
            raise UserError(f"{key}: {error.filename or path} cannot be read ({error.strerror or error}); fix it") from error
        found[key] = hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]
    if memo != known:
        write_json(memo_file, memo)
    return found


def _below(path: Path) -> Iterator[Path]:
    if path.is_dir():
        for child in sorted(path.iterdir()):
            if not child.name.startswith(".") or child.name == ".huggingface.yaml":  # `datasets` reads that one
                yield from _below(child)
    elif stat.S_ISREG(path.stat().st_mode):
        try:
            str(path).encode()
        except UnicodeEncodeError as error:
            raise OSError(0, "its name is not UTF-8", str(path)) from error
        yield path
    else:
        raise OSError(0, "neither a file nor a folder", str(path))


def _sha256(file: Path, memo: dict[str, list[Any]]) -> str:
    """The file's sha256: from ``memo`` if size, times and inode are unchanged, else computed and added to it."""
    name, about = str(file.absolute()), file.stat()
    state = [about.st_size, about.st_mtime_ns, about.st_ctime_ns, about.st_ino]  # programs can set mtime back, but not ctime
    known = memo.get(name, [])
    if known[:-1] == state:
        return str(known[-1])
    digest = sha256(file)
    if time.time() - max(about.st_mtime, about.st_ctime) > SETTLED:
        memo[name] = [*state, digest]
    return digest
