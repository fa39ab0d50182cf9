"""The dependencies of dvc.yaml on code, compared with what each stage imports."""

import ast
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests import ROOT

NO_RESULT = {
    "runtime": "error lines, whole files, pictures",
    "config": "reads resolved/, whose files are dependencies of their own",
    "tracking": "only watches",
}
"""Folders whose code changes no output, and why."""
UPLOADS = {("train", "hub"), ("evaluate", "hub")}  # of checkpoints, during the training run
KEPT = {"download": "what is there is not downloaded again; of the sample the resolved file names the version of its generator"}
"""Stages that depend on no code, and why."""


def stages() -> dict[str, dict[str, Any]]:
    """Each stage by its name, foreach's template for all of its items."""
    file = YAML(typ="safe", pure=True).load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))
    return {name: stage.get("do", stage) for name, stage in file["stages"].items()}


def imported(path: Path) -> Iterator[str]:
    """The names that a module imports, anywhere in it but for type checking."""
    nodes = [ast.parse(path.read_text(encoding="utf-8"))]
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        below = ast.iter_child_nodes(node)
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            below = iter(node.orelse)
        nodes += below


def modules(name: str) -> Iterator[Path]:
    """The files that importing ``name`` runs: its own and those of the packages above it."""
    parts = name.split(".")
    for end in range(1, len(parts) + 1):
        path = ROOT.joinpath(*parts[:end])
        yield from (file for file in (path / "__init__.py", path.with_suffix(".py")) if file.is_file())


def needed(stage: str) -> set[str]:
    """The folders below stages/ whose code a stage runs, by its imports and theirs."""
    seen: set[Path] = set()
    files = [ROOT / "stages" / stage / "__main__.py"]
    while files:
        file = files.pop()
        if file not in seen:
            seen.add(file)
            files += [path for name in imported(file) if name.startswith("stages.") for path in modules(name)]
    return {file.relative_to(ROOT / "stages").parts[0] for file in seen} - {"__init__.py"}


@pytest.mark.parametrize("name", stages())
def test_a_stage_depends_on_the_code_that_it_runs_and_on_no_other(name: str) -> None:
    stage = stages()[name]
    module = stage["cmd"].split()[2].removeprefix("stages.")
    declared = {dep.removeprefix("stages/") for dep in stage["deps"] if dep.startswith("stages/")}
    left_out = {"runtime"} if module == "resolve" else NO_RESULT.keys()
    run = {code for code in needed(module) if code not in left_out and (module, code) not in UPLOADS}
    assert declared == (set() if module in KEPT else run)


@pytest.mark.parametrize("name", ["format", "mine"])
def test_what_is_kept_of_a_set_is_made_again_when_that_code_changes(name: str) -> None:
    declared = {dep.removeprefix("stages/") for dep in stages()[name]["deps"] if dep.startswith("stages/")}
    assert set(import_module(f"stages.{name}.__main__").CODE) == declared
