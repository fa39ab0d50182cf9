"""A git clone of the checkout in which trials run one after another, with the checkout's DVC cache.

`dvc queue` loses jobs; an experiment in a clone of its own does not (docs/sweeps.md). Each trial starts from the same commit, whatever the
one before it left: killed processes, half an experiment, locks. What a stage has computed is in the shared cache and not computed again.
"""

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import psutil
from ruamel.yaml import YAML

from stages.runtime.errors import UserError
from stages.runtime.files import atomic_write, remove
from stages.runtime.root import ROOT

CLONE, TRIAL = "NORDIC_SPARSE_CLONE", "NORDIC_SPARSE_TRIAL"
"""Environment variables of a trial's processes: its clone, its folder."""
OWN = ("stages.tracking.worker",)
"""Processes that end on their own once they have reported what happened to the others."""


@dataclass(frozen=True)
class Clone:
    """One clone.

    Attributes:
        folder: where it is or will be.
        origin: the repository to clone and to push experiments to: the checkout, or a bare copy of it.
        cache: the DVC cache that all clones share.
        root: what relative paths in params.yaml start at, where mlflow.db is: the checkout.
        reference: in ``origin``, the ref that holds the sweep's files; its parent is the commit that experiments belong to.
        commit: what the ref must point to.
        identity: name and e-mail address of the committer.
    """

    folder: Path
    origin: Path
    cache: Path
    root: Path
    reference: str
    commit: str
    identity: tuple[str, str]

    def clean(self) -> None:
        """Make the folder a clone with the files of ``commit``, whatever it was before."""
        end_processes(CLONE, str(self.folder))
        for left in self.folder.parent.glob(f".{self.folder.name}.*.tmp"):
            remove(left)
        if self._git_or_none("rev-parse", "--verify", "--quiet", f"{self.commit}^{{tree}}") is None:
            self._clone()
        for left in (*self.folder.glob(".git/*.lock"), self.folder / ".dvc" / "tmp"):
            remove(left)
        for name in self.git("for-each-ref", "--format=%(refname)", "refs/exps").split():
            self.git("update-ref", "-d", name)
        self.git("reset", "--quiet", "--hard", f"{self.commit}^")
        self.git("clean", "--quiet", "-fd")
        self.git("read-tree", "-u", "--reset", self.commit)
        (self.folder / ".dvc").mkdir(exist_ok=True)
        own = f'[cache]\n    dir = "{self.cache}"\n[core]\n    site_cache_dir = "{self.folder / ".git" / "dvc"}"\n'  # goes with the clone
        (self.folder / ".dvc" / "config.local").write_text(own, encoding="utf-8")

    def _clone(self) -> None:
        with atomic_write(self.folder) as temporary:
            run_git(Path(), "clone", "--quiet", "--no-checkout", str(self.origin), str(temporary))
            run_git(temporary, "fetch", "--quiet", "origin", self.reference)
            for key, value in zip(("user.name", "user.email"), self.identity, strict=True):
                run_git(temporary, "config", key, value)
            (temporary / ".git" / "info" / "exclude").write_text("/checkpoints\n", encoding="utf-8")  # a link: see `set_up`

    def set_up(self, settings: Mapping[str, Any], checkpoints: Path) -> None:
        """Write ``settings`` into params.yaml; let training keep its checkpoints in the trial's folder, which outlives the clone."""
        path = self.folder / "params.yaml"
        path.write_text(with_settings(path.read_text(encoding="utf-8"), settings), encoding="utf-8")
        checkpoints.mkdir(parents=True, exist_ok=True)
        remove(self.folder / "checkpoints")
        (self.folder / "checkpoints").symlink_to(checkpoints.resolve(), target_is_directory=True)

    def dvc(self, arguments: list[str], log: Path, **environment: str) -> "subprocess.Popen[bytes]":
        """Start a dvc command that writes to ``log``; ``environment`` is added to that of the stages."""
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("DVC_")}
        own = {
            ROOT: str(self.root),
            CLONE: str(self.folder),
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        }
        with log.open("ab") as output:
            return subprocess.Popen(
                [sys.executable, "-m", "dvc", *arguments], cwd=self.folder, env=inherited | own | environment,
                stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
            )  # fmt: skip

    def push(self, experiment: str) -> None:
        """Give the experiment to ``origin``, where it replaces one of the same name: git moves a ref at once or not at all."""
        [name] = self.git("for-each-ref", "--format=%(refname)", f"refs/exps/*/*/{experiment}").split()
        self.git("push", "--quiet", "--force", "origin", f"{name}:{name}")

    def git(self, *arguments: str) -> str:
        return run_git(self.folder, *arguments)

    def _git_or_none(self, *arguments: str) -> str | None:
        with suppress(UserError):
            return self.git(*arguments) if (self.folder / ".git").is_dir() else None
        return None


def with_settings(text: str, settings: Mapping[str, Any]) -> str:
    """params.yaml's ``text`` with values changed by key with dots; its comments stay."""
    yaml = YAML()
    yaml.width = 4096
    values = yaml.load(text)
    for key, value in settings.items():
        *above, last = key.split(".")
        section = values
        for part in above:
            if not isinstance(section.get(part), dict):
                section[part] = {}
            section = section[part]
        section[last] = value
    yaml.dump(values, written := StringIO())
    return written.getvalue()


def run_git(folder: Path, *arguments: str, **environment: str) -> str:
    """The output of a git command.

    Raises:
        UserError: git is missing or says no.
    """
    clean = {key: value for key, value in os.environ.items() if key not in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE")}  # of a hook
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=folder, env=clean | environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True
        )
    except FileNotFoundError as error:
        raise UserError(f"git: is not installed, or {folder} does not exist ({error})") from error
    except subprocess.CalledProcessError as error:
        said = " ".join((error.stderr or error.stdout).split()) or f"status {error.returncode}"
        raise UserError(f"git {arguments[0]}: failed in {folder.resolve()} ({said})") from error
    return done.stdout


def end_processes(variable: str, value: str, seconds: float = 5.0) -> None:
    """Kill this user's processes whose environment variable has this value, and wait until they are gone.

    They may be what is left of a trial whose own process was killed, and know nothing of that.
    """
    found = [process for process in psutil.process_iter() if process.pid != os.getpid() and _has(process, variable, value)]
    for process in found:
        with suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(found, timeout=seconds)
    if found:
        time.sleep(0.05)  # until children that they were just starting can be seen
        end_processes(variable, value, seconds)


def _has(process: psutil.Process, variable: str, value: str) -> bool:
    with suppress(psutil.Error, OSError):
        return process.environ().get(variable) == value and not {*OWN} & {*process.cmdline()} and process.status() != psutil.STATUS_ZOMBIE
    return False
