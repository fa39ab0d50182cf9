"""How to undo a refused value: `dvc exp run -S` writes it into params.yaml before `resolve` can refuse it."""

import os
import re
import subprocess
import time
from collections.abc import Iterator, Mapping
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from stages.config.params import NOT_YAML
from stages.config.plain import shorten

SHOWN = 3  # changed keys that the advice names


def advice(mistakes: str, path: Path) -> str | None:
    """One line on the changed values, if possible only those that ``mistakes`` names: what they were in the last commit, how to undo them.

    None if nothing changed, if there is no commit, or in dvc's temporary copies (`--queue`, `--temp`), which are thrown away.
    """
    if ".dvc" in path.resolve().parts or (before := _committed(path)) is None:
        return None
    try:
        now = path.read_text(encoding="utf-8")
        was, is_now = (dict(_below(YAML(typ="safe", pure=True).load(text))) for text in (before, now))
    except NOT_YAML:
        return None
    changed = {key: (was.get(key), is_now.get(key)) for key in [*is_now, *(was.keys() - is_now.keys())] if was.get(key) != is_now.get(key)}
    if not changed or "" in is_now:  # not a mapping: the mistake itself says how to restore the file
        return None
    _let_git_notice(path)
    in_line = r"(?<![\w.-]){}(?![\w-]|\.\w)"
    named = {key: values for key, values in changed.items() if re.search(in_line.format(re.escape(key)), mistakes)} or changed
    at_fault = named is not changed or len(changed) == 1  # otherwise some of them may be wanted
    moved = [key for key in named if not (key in was and key in is_now)]  # added or removed, or a mapping before or now: no -S undoes it
    described = [
        f"{key} is {_shown(new)} and was {_shown(old)} in the last commit" if key not in moved else f"{key} differs from the last commit"
        for key, (old, new) in list(named.items())[:SHOWN]
    ]
    more = f" and {len(named) - SHOWN} more" if len(named) > SHOWN else ""
    if at_fault and named.keys() == changed.keys() and _changed_lines(before, now) <= len(changed):
        undo = f"`git checkout {path}` undoes this, and nothing else has changed"
    elif moved:
        undo = f"`git diff {path}` shows all changes; correct the lines, or undo all changes with `git checkout {path}`"
    else:
        old = " ".join(f"-S {key}={_shown(values[0])}" for key, values in list(named.items())[:SHOWN])
        undo = f"correct the line, or add `{old}` to the next `dvc exp run`, which keeps your other changes"
    return f"{path}: {'; '.join(described)}{more} (`dvc exp run -S` leaves its values in the file); {undo}"


def _let_git_notice(path: Path) -> None:
    """Advance the modification time of ``path`` by a second, so that git cannot miss the change.

    git compares size and whole seconds with its index. If dvc writes a value of the same length in the second in which it also writes
    the index, git sees no change: `git status` is empty, and `git checkout` restores nothing.
    """
    about = path.stat()
    os.utime(path, (about.st_atime, max(time.time(), about.st_mtime + 1)))


def _committed(path: Path) -> str | None:
    try:
        shown = subprocess.run(["git", "show", f"HEAD:./{path}"], capture_output=True, check=True, timeout=10, stdin=subprocess.DEVNULL)
        return shown.stdout.decode("utf-8")
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return None


def _below(values: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """All values by dotted key."""
    if isinstance(values, Mapping) and values:
        for name, value in values.items():
            yield from _below(value, f"{key}.{name}".lstrip("."))
    else:
        yield key, values


def _shown(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    return shorten(str(value))


def _changed_lines(before: str, now: str) -> int:
    """Number of lines that were changed, added or removed."""
    blocks = SequenceMatcher(None, before.splitlines(), now.splitlines(), autojunk=False).get_opcodes()
    return sum(max(old_end - old, new_end - new) for kind, old, old_end, new, new_end in blocks if kind != "equal")
