"""Checks the files that DVC reads before any stage: DVC does not name the one that is empty or broken. `make repro` starts with it."""

from collections.abc import Mapping
from pathlib import Path

from ruamel.yaml import YAML

from stages.config.params import NOT_YAML, PARAMS
from stages.config.plain import in_a_line
from stages.runtime.errors import UserError

HELD = {  # by file: the key that dvc needs, a mapping, and how to restore the file
    PARAMS: (None, "correct it, or restore it with `git checkout params.yaml`"),
    Path("dvc.yaml"): ("stages", "restore it with `git checkout dvc.yaml`"),
    Path("dvc.lock"): ("stages", "restore it with `git checkout dvc.lock`, or delete it: `dvc repro` writes it again"),
}


def main() -> None:
    """Check params.yaml, dvc.yaml and dvc.lock.

    Run this after one of DVC's own messages, such as "expected list/dictionary, got NoneType", "validation failed" or
    "There are no data or pipelines tracked": it names the file and the fault.
    """
    if wrong := [line for path in HELD if (line := fault(path))]:
        raise UserError("\n".join(wrong))


def fault(path: Path) -> str | None:
    """What is wrong with one of DVC's files, as one line; None if DVC can start with it. dvc.lock may be missing."""
    key, remedy = HELD[path]
    try:
        values = YAML(typ="safe").load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        return None if path.suffix == ".lock" else f"{path}: is missing ({error.strerror}); {remedy}"
    except (OSError, *NOT_YAML) as error:
        return f"{path}: cannot be read ({in_a_line(error)}); {remedy}"
    found = values.get(key) if isinstance(values, Mapping) else None
    if key is None or (found and isinstance(found, Mapping)):
        return None
    return f"{path}: {f'has no mapping {key}' if values else 'is empty'}, and DVC reads {key} from it before any stage runs; {remedy}"
