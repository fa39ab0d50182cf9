"""One folder for each data set: a stage over all sets makes only those whose settings, inputs or code changed.

DVC removes a stage's outputs before it runs the stage. So each set's folder is also kept in a store outside DVC, next to a
digest of its settings, inputs and code. A stage that was killed resumes with the first set that it had not finished. The price is disk
space: one more copy of each set, also of sets that only another profile uses. Deleting the store costs only time.
"""

import fcntl
import hashlib
import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from stages.runtime.files import atomic_write, link, mark_unused, read_json, remove, write_json


def make_sets(folder: Path, made_from: Mapping[str, str], make: Callable[[str, Path], object], store: Path) -> str:
    """Make ``folder/<name>`` for each set and nothing else; return how many were made, in words.

    Args:
        made_from: by name, the digest of everything that the set is made from: see `digest`.
        make: called with a name and the folder to write, which does not exist yet.
        store: where the folders are kept.
    """
    with _alone(store):
        folder.mkdir(parents=True, exist_ok=True)
        keep_only(folder, made_from.keys())
        if not made_from:
            mark_unused(folder)
            return "no set"
        made = 0
        for name, source in made_from.items():
            target, kept, note = folder / name, store / name, store / f"{name}.json"
            if _read(note) == {"made_from": source, "files": _files(kept)} and _copy(kept, target):
                continue
            made += 1
            make(name, target)
            with suppress(OSError):  # a full or read-only disk: then the set is made again next time
                note.unlink(missing_ok=True)
                if _copy(target, kept):
                    write_json(note, {"made_from": source, "files": _files(kept)})
    return f"{len(made_from)} set{'s' * (len(made_from) > 1)}" + f", {len(made_from) - made} of them unchanged" * (made < len(made_from))


@contextmanager
def _alone(store: Path) -> Iterator[None]:
    """Wait until no other process uses ``store``: a stage that outlived its dvc, or an experiment in a copy of the checkout."""
    with ExitStack() as stack:
        with suppress(OSError):  # a read-only disk, or one without locks
            store.mkdir(parents=True, exist_ok=True)
            lock = stack.enter_context((store / ".lock").open("a"))
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                print(f"waiting for another run of this stage, which holds {store}", flush=True)
                fcntl.flock(lock, fcntl.LOCK_EX)
            for left in store.glob(".*.tmp"):  # by a process that was killed
                remove(left)
        yield


def digest(settings: Any, inputs: Iterable[Path] = (), code: Iterable[str] = ()) -> str:
    """Hexadecimal sha256 of ``settings`` (as JSON), the files in ``inputs`` and the modules in the folders ``code`` of stages/."""
    total = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    stages = Path(__file__).parents[1]
    for folder, pattern in [*((path, "*") for path in inputs), *((stages / room, "*.py") for room in sorted(code))]:
        for path in [folder] if folder.is_file() else sorted(folder.rglob(pattern)):
            if path.is_file():
                with path.open("rb") as file:
                    total.update(f"{path.relative_to(folder).as_posix()} {hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return total.hexdigest()


def keep_only(folder: Path, names: Set[str]) -> None:
    """Remove everything in ``folder`` but the entries of these names."""
    for stray in [path for path in folder.iterdir() if path.name not in names]:
        remove(stray)


def _read(note: Path) -> Any:
    """The content of a note; None if it cannot be read, which costs only time."""
    try:
        return read_json(note)
    except (OSError, ValueError):
        return None


def _files(folder: Path) -> dict[str, list[int]]:
    """Size and modification time of each file, which show whether a program has written to it through its link."""
    found = {path.relative_to(folder).as_posix(): path.stat() for path in sorted(folder.rglob("*")) if path.is_file()}
    return {name: [status.st_size, status.st_mtime_ns] for name, status in found.items()}


def _copy(source: Path, target: Path) -> bool:
    """Make the folder ``target`` of links to the files in ``source``; False if that fails: in use, or no space left."""
    with suppress(OSError), atomic_write(target) as temporary:
        shutil.copytree(source, temporary, copy_function=link)
        return True
    return False
