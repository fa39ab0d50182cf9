"""Checks the files that DVC reads before any stage: DVC does not name the one that is empty or broken. `make repro` starts with it."""

from collections.abc import Mapping
from pathlib import Path

from ruamel.yaml import YAML

from stages.config.params import NOT_YAML, PARAMS
from stages.config.plain import in_a_line
from stages.runtime.errors import UserError

HELD = {  # by file: the keys that dvc needs, each a mapping, and how to get them back
    PARAMS: ((), "correct it, or restore it with `git checkout params.yaml`"),
    Path("dvc.yaml"): (("stages",), "restore it with `git checkout dvc.yaml`"),
    Path("dvc.lock"): (("stages",), "restore it with `git checkout dvc.lock`, or delete it: `dvc repro` writes it again"),
}


def main() -> None:
    """Check params.yaml, dvc.yaml and dvc.lock.

    Run this after one of DVC's own messages, such as "expected list/dictionary, got NoneType", "validation failed" or
    "There are no data or pipelines tracked": it names the file and the fault.
    """
    if wrong := [line for path in HELD if (line := fault(path))]:
        raise UserError("\n".join(wrong))


def fault(path: Path) -> str | None:
    """What is wrong with one of dvc's files, in one line; None if it can start with it. A missing dvc.lock is no fault."""
    keys, remedy = HELD[path]
    try:
        values = YAML(typ="safe").load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        return None if path.suffix == ".lock" else f"{path}: is missing ({error.strerror}); {remedy}"
    except (OSError, *NOT_YAML) as error:
        return f"{path}: cannot be read ({in_a_line(error)}); {remedy}"
    for key in keys:
        found = values
        for part in key.split("."):
            found = found.get(part) if isinstance(found, Mapping) else None
        if not isinstance(found, Mapping) or not found:
            empty = "is empty" if not values else f"has no mapping {key}"
            return f"{path}: {empty}, and dvc reads {', '.join(keys)} from it before any stage runs; {remedy}"
    return None
