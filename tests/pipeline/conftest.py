"""A real workspace: the working tree's files in a temporary git repository, with DVC run in it as a user would."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from filelock import FileLock
from ruamel.yaml import YAML

from tests import ROOT

if TYPE_CHECKING:
    from playwright.sync_api import Browser

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

SMALL = {  # a training run of seconds
    "model": {"made": {"vocab_size": 1000, "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}},
    "training": {"max_steps": 8, "logging_steps": 2, "save_steps": 4, "per_device_train_batch_size": 8},
}


class Workspace:
    """A clone in which commands run with this Python's environment first on the PATH."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        bin_folder = str(Path(sys.executable).parent)
        self.environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith(("DVC_", "MLFLOW_", "HF_"))},
            "PATH": os.pathsep.join([bin_folder, os.environ["PATH"]]),
            "HF_HUB_OFFLINE": "1",
            "GIT_AUTHOR_NAME": "test", "GIT_AUTHOR_EMAIL": "test@example.org",
            "GIT_COMMITTER_NAME": "test", "GIT_COMMITTER_EMAIL": "test@example.org",
        }  # fmt: skip

    def run(self, *command: str, status: int | None = 0, **environment: str) -> str:
        """Run a command and return its stdout and stderr together; any other exit status than ``status`` fails the test."""
        done = subprocess.run(
            command,
            cwd=self.folder,
            env={**self.environment, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=600,
        )
        assert status is None or done.returncode == status, f"{command} ended with {done.returncode}:\n{done.stdout}"
        return done.stdout

    def edit_params(self, changes: dict[str, Any]) -> None:
        """Change params.yaml by a nested mapping, keeping its comments, as `dvc exp run -S` does."""
        yaml = YAML()
        path = self.folder / "params.yaml"
        values = yaml.load(path.read_text(encoding="utf-8"))
        _update(values, changes)
        with path.open("w", encoding="utf-8") as file:
            yaml.dump(values, file)

    def stages_run(self, output: str) -> set[str]:
        """Names of the stages that a dvc command ran, with foreach's items as one."""
        lines = [line for line in output.splitlines() if line.startswith("Running stage")]
        return {line.split("'")[1].split("@")[0] for line in lines}

    def commit(self, message: str = "change") -> None:
        self.run("git", "add", "-A")
        self.run("git", "commit", "--quiet", "--allow-empty", "-m", message)


def _update(values: Any, changes: dict[str, Any]) -> None:
    for key, value in changes.items():
        if isinstance(value, dict) and isinstance(values.get(key), dict):
            _update(values[key], value)
        else:
            values[key] = value


def make_workspace(folder: Path) -> Workspace:
    """The working tree's files, tracked and new, as a git repository of their own in ``folder``."""
    files = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout
    for name in filter(None, files.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    workspace = Workspace(folder)
    workspace.run("git", "init", "--quiet", "--initial-branch", "main")
    (folder / ".git" / "info" / "exclude").write_text(".venv\n")
    workspace.commit("the working tree")
    return workspace


@pytest.fixture(scope="session")
def reproduced(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A small workspace after its first `dvc repro`, committed; its output is in the file repro.log next to it.

    Each of pytest-xdist's workers has its own copy of the one that the first of them made.
    """
    run = tmp_path_factory.getbasetemp()
    place = (run.parent if "PYTEST_XDIST_WORKER" in os.environ else run) / "reproduced"
    with FileLock(place.with_suffix(".lock")):
        if not (place / "repro.log").exists():
            place.mkdir()
            first = make_workspace(place / "clone")
            first.edit_params(SMALL)
            output = first.run("dvc", "repro")
            first.commit("small")
            (place / "repro.log").write_text(output, encoding="utf-8")
    own = shutil.copytree(place, tmp_path_factory.mktemp("reproduced") / "own", symlinks=True)
    return Workspace(own / "clone")


@pytest.fixture
def workspace(reproduced: Workspace) -> Iterator[Workspace]:
    """The reproduced workspace, put back after the test to the commit before it."""
    start = reproduced.run("git", "rev-parse", "HEAD").strip()
    yield reproduced
    (reproduced.folder / "params.yaml").unlink()  # git overlooks a change of the same size within a second of its index
    reproduced.run("git", "reset", "--quiet", "--hard", start)
    reproduced.run("dvc", "checkout", "--quiet", "--force")


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    from playwright.sync_api import sync_playwright  # not in the lock: `make test-slow` installs it

    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    assert found, f"no browser ({', '.join(BROWSERS)}); `make test-slow` installs Chromium as root on Debian, else install it"
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])  # root has no sandbox
        yield started
        started.close()
