"""Write files so that no reader sees them half written."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from stages.runtime.errors import UserError


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a temporary path next to ``path``; rename it to ``path`` on success, remove it on failure.

    The temporary path does not exist yet: write a file or make a folder there. A folder at ``path`` is replaced.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / f".{path.name}.{os.getpid()}.tmp"
    remove(temporary)
    try:
        yield temporary
        if temporary.is_dir():
            remove(path)
        temporary.replace(path)
    finally:
        remove(temporary)


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as indented JSON with a final newline; keys keep their order."""
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    """The content of a JSON file; an empty object if there is none."""
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def read_output(path: Path) -> Any:
    """As `read_json`, for a mapping that a stage wrote.

    Raises:
        UserError: it is something else, such as half a file.
    """
    try:
        values = read_json(path)
    except ValueError:
        values = None
    if not isinstance(values, dict):
        raise UserError(f"{path}: must hold a JSON object; delete it and run `dvc repro`")
    return values


def mark_unused(folder: Path) -> None:
    """Make ``folder`` the output of a stage that is not needed; dvc warns about an empty output."""
    with atomic_write(folder) as temporary:
        temporary.mkdir()
        (temporary / "unused.txt").write_text("params.yaml does not use this\n", encoding="utf-8")


def link(source: str | Path, target: str | Path) -> None:
    """Link ``target`` to the file ``source``, or copy it where that is not possible."""
    try:
        os.link(source, target)
    except OSError:  # no hard links on this file system, or across two
        shutil.copy2(source, target)


def remove(path: Path) -> None:
    """Remove a file, link or folder, if it exists."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
