"""How to undo what made params.yaml wrong: `dvc exp run -S` has written its value there before any stage can refuse it."""

import os
import re
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from stages.config.params import NOT_YAML
from stages.config.plain import shorten

MANY = 3  # changed keys that are named


def advice(mistakes: str, path: Path) -> str | None:
    """One line: which of the values that ``mistakes`` names (else: which values) differ from the last commit, and how to undo that.

    None if nothing differs, if there is no last commit, and in dvc's temporary copies (`--queue`, `--temp`), which are thrown away.
    """
    if ".dvc" in path.resolve().parts or (before := _committed(path)) is None:
        return None
    try:
        now = path.read_text(encoding="utf-8")
        was, is_now = (dict(_below(YAML(typ="safe", pure=True).load(text))) for text in (before, now))
    except NOT_YAML:
        return None
    changed = {key: (was.get(key), is_now.get(key)) for key in [*is_now, *(was.keys() - is_now.keys())] if was.get(key) != is_now.get(key)}
    if not changed or "" in is_now:  # no mapping at all: the mistake says how to restore the file
        return None
    _let_git_notice(path)
    in_line = r"(?<![\w.-]){}(?![\w-]|\.\w)"
    named = {key: values for key, values in changed.items() if re.search(in_line.format(re.escape(key)), mistakes)} or changed
    at_fault = named is not changed or len(changed) == 1  # otherwise some of them may be wanted
    moved = [key for key in named if not (key in was and key in is_now)]  # a mapping before or now, or not there: no `-S` brings it back
    described = [
        f"{key} is {_shown(new)} and was {_shown(old)} in the last commit" if key not in moved else f"{key} is not as in the last commit"
        for key, (old, new) in list(named.items())[:MANY]
    ]
    more = f" and {len(named) - MANY} more" if len(named) > MANY else ""
    if at_fault and named.keys() == changed.keys() and _changed_lines(before, now) <= len(changed):
        undo = f"`git checkout {path}` undoes it: nothing else was changed"
    elif moved:
        undo = f"`git diff {path}` shows all changes; edit the lines that are wrong, or undo all of them by `git checkout {path}`"
    else:
        old = " ".join(f"-S {key}={_shown(values[0])}" for key, values in list(named.items())[:MANY])
        undo = f"edit that line, or add `{old}` to the next `dvc exp run`: other changes stay"
    return f"{path}: {'; '.join(described)}{more} (`dvc exp run -S` keeps its values there); {undo}"


def _let_git_notice(path: Path) -> None:
    """Set the time of ``path`` a second on, lest git overlook that it changed.

    git compares size and whole seconds with those in its index. A value of the same length (comments keep their column), written by dvc in
    the second in which it also wrote the index, is no change to it: `git status` is empty, and `git checkout` restores nothing.
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
    """Every value by its dotted key."""
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
    """Lines that differ; more than any file has where lines came or went."""
    old, new = before.splitlines(), now.splitlines()
    return sum(a != b for a, b in zip(old, new, strict=True)) if len(old) == len(new) else 10**9
