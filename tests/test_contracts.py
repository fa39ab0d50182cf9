"""Commands, settings and metric names are contracts with the user: `contracts.txt` lists them, and changes with them.

After a run of the sample, `python -m tests.test_contracts` prints the list as it is now.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import BaseModel
from ruamel.yaml import YAML

from stages.commands.__main__ import COMMANDS
from stages.config.schema import Params
from tests import ROOT

GOLDEN = Path(__file__).parent / "contracts.txt"


def commands() -> Iterator[str]:
    for target in re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE):
        yield f"make {target}"
    yield from (f"python -m stages.{module.parent.name}" for module in (ROOT / "stages").glob("*/__main__.py"))
    yield from (f"nordic-sparse {name}" for name in COMMANDS)


def files() -> Iterator[str]:
    for stage in YAML(typ="safe", pure=True).load(ROOT / "dvc.yaml")["stages"].values():
        stage = stage.get("do", stage)
        for kind in ("outs", "metrics", "plots"):
            yield from (f"file {next(iter(out)) if isinstance(out, dict) else out}" for out in stage.get(kind, ()))


def keys(section: type[BaseModel] = Params, above: str = "") -> Iterator[str]:
    for name, field in section.model_fields.items():
        key = f"{above}{field.alias or name}"
        table = get_origin(field.annotation) is dict
        inner = [each for each in (*get_args(field.annotation), field.annotation) if isinstance(each, type) and issubclass(each, BaseModel)]
        if inner:
            yield from keys(inner[0], f"{key}.<name>." if table else f"{key}.")
        else:
            yield f"params.yaml {key}"


def metrics(folder: Path) -> Iterator[str]:
    """The names in the metrics of a run of the sample, a set's own name as <set>."""

    def names(values: Any, above: str) -> Iterator[str]:
        for key, value in values.items() if isinstance(values, dict) else ():
            yield from names(value, f"{above}.{key}") if isinstance(value, dict) else [f"{above}.{key}"]

    for name in ("summary", "evaluation", "mix"):
        for key in names(json.loads((folder / f"{name}.json").read_text(encoding="utf-8")), ""):
            yield f"metric {name}.json {re.sub(r'(sample-[a-z]+|NanoSample[A-Z][a-z])', '<set>', key[1:])}"


def contracts() -> list[str]:
    """All but the names of metrics, which a run has to show."""
    return sorted({*commands(), *files(), *keys()})


def golden() -> list[str]:
    return GOLDEN.read_text(encoding="utf-8").splitlines()


def test_commands_files_and_keys_are_those_of_the_list() -> None:
    assert contracts() == [line for line in golden() if not line.startswith("metric ")]


if __name__ == "__main__":
    print("\n".join(sorted([*contracts(), *{*metrics(ROOT / "metrics")}])))
