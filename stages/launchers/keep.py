"""`python -m stages.launchers.keep sweeps/NAME STORE -- COMMAND…`: run a sweep's command on a machine that may be taken away.

STORE is a folder that outlives the machine, such as a mounted bucket. First the sweep's folder, code and experiments come back from it.
While the command runs, what is new goes there every `EVERY` seconds: experiments, then the results that name them, and complete
checkpoints. A machine that is taken away loses what is younger. docs/skypilot.yaml uses it on spot machines.
"""

import argparse
import shutil
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from stages.launchers.bundles import bundle_code, unbundle_code
from stages.launchers.container import RECORDS, mirror
from stages.runtime.errors import run_stage
from stages.runtime.files import atomic_write, remove
from stages.sweeps.clone import run_git
from stages.sweeps.state import QUERIES

EVERY = 30.0


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m stages.launchers.keep", description="Run a sweep's command; keep its state in STORE.")
    parser.add_argument("folder", type=Path, help="the sweep's folder, sweeps/NAME")
    parser.add_argument("store", type=Path, help="a folder that outlives this machine")
    parser.add_argument("command", nargs="+")
    given = parser.parse_args(arguments)
    status = run(given.folder, given.store, given.command)
    if status:
        sys.exit(status)


def run(folder: Path, store: Path, command: Sequence[str], checkout: Path = Path()) -> int:
    """Restore, run, keep; the command's exit status."""
    bring(folder, store, checkout)
    process = subprocess.Popen(command, cwd=checkout, stdin=subprocess.DEVNULL)
    try:
        while process.poll() is None:
            with suppress(subprocess.TimeoutExpired):
                process.wait(EVERY)
            keep(folder, store, checkout)
    except KeyboardInterrupt:  # the terminal has told the command too
        process.wait()
        keep(folder, store, checkout)
        raise
    return process.returncode


def bring(folder: Path, store: Path, checkout: Path) -> None:
    """Bring back what an earlier machine has kept, if this one has nothing of the sweep."""
    kept = store / "sweeps" / folder.name
    if kept.is_dir() and not (folder / "sweep.json").exists():
        unbundle_code(store / f"{folder.name}.bundle", checkout)
        shutil.copytree(kept, folder, dirs_exist_ok=True)


def keep(folder: Path, store: Path, checkout: Path) -> None:
    """Copy what is new to the store."""
    results = [*folder.glob("trials/*/result.json")]  # their experiments are in the repository by now
    kept = store / "sweeps" / folder.name
    refs = run_git(checkout, "for-each-ref", "--format=%(refname)", f"refs/sweeps/{folder.name}", f"refs/exps/*/*/{folder.name}-*").split()
    if not refs:
        return
    with atomic_write(store / f"{folder.name}.bundle") as temporary:
        bundle_code(checkout, refs, temporary)
    for trial in folder.glob("trials/*"):
        place = kept / "trials" / trial.name
        mirror(trial / "checkpoints", place / "checkpoints")
        for name in ("trial.json", *RECORDS[:-1]):
            copy(trial / name, place / name)
    for result in results:
        place = kept / "trials" / result.parent.name
        if not (place / result.name).exists():
            copy(result.parent / QUERIES, place / QUERIES)
            copy(result, place / result.name)
            remove(place / "checkpoints")
    copy(folder / "sweep.json", kept / "sweep.json")


def copy(source: Path, target: Path) -> None:
    """Copy a file or folder, if it is there and is not the same already."""
    with suppress(FileNotFoundError):
        if target.exists() and target.stat().st_size == source.stat().st_size and target.stat().st_mtime >= source.stat().st_mtime:
            return
        with atomic_write(target) as temporary:
            (shutil.copytree if source.is_dir() else shutil.copy2)(source, temporary)


if __name__ == "__main__":
    run_stage(main)
