"""`python -m stages.sweeps.trial FOLDER NUMBER`: run one trial of a sweep to its result. What every launcher starts, anywhere.

It takes a clone (`stages.sweeps.clone`), runs `dvc exp run` in it, pushes the experiment and writes the result. It may be killed at any
time and started again, here or on a machine that sees the same folders: a finished trial does nothing, a half-trained one resumes from
its checkpoint, and an experiment is never half there. What it gives up: the steps since the last checkpoint (training.save_steps).

Exit status: 0, there is a result; 2, the user must do something first, such as make room; 3, something killed the stages, so try again.
"""

import argparse
import csv
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from stages.runtime import root
from stages.runtime.errors import UserError, run_stage
from stages.runtime.files import atomic_write, remove
from stages.sweeps.clone import CLONE, TRIAL, Clone, end_processes
from stages.sweeps.prune import falls_behind
from stages.sweeps.state import PROGRESS, QUERIES, Result, Sweep, flat, held

KILLED = 3
PREPARED = ("mix", "validation", "make-base", "download-model")
"""The stages that trials share: all before train."""
POLL_SECONDS = 0.2
NOT_ITS_FAULT = re.compile(
    r"cannot be written|No space left|disk is full|Disk quota|Read-only file system|another training run is alive|Unable to acquire lock"
)
ROOM = 1_000_000
"""Free bytes below which a failure is the disk's, whatever was printed: on a full disk the log may have lost the reason."""
BY_SIGNAL = re.compile(r"exited with (-\d+|13[0-9]|14[0-3])\b")


class BrokenClone(Exception):
    """DVC fails for a reason that is no stage's."""


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m stages.sweeps.trial", description="Run one trial of a sweep to its result.")
    parser.add_argument("folder", type=Path, help="the sweep's folder, sweeps/<name>")
    parser.add_argument("number", type=int)
    parser.add_argument(
        "--prepare", action="store_true", help="only run the stages before train, so that trials find their results in the cache"
    )
    parser.add_argument(
        "--clone", type=Path, help="where its clone is or will be; one process at a time uses it (default: FOLDER/clones/0)"
    )
    parser.add_argument("--origin", type=Path, default=Path(), help="the repository that gets the experiment (default: this checkout)")
    parser.add_argument("--cache", type=Path, help="the DVC cache that all trials share (default: ORIGIN/.dvc/cache)")
    parser.add_argument("--root", type=Path, help="what relative paths in params.yaml start at, where mlflow.db is (default: ORIGIN)")
    ends = "end when the process that started this one ends; PID is that process, which may have ended already"
    parser.add_argument("--attached", nargs="?", type=int, const=os.getppid(), metavar="PID", help=ends)
    given = parser.parse_args(arguments)
    sweep = Sweep(given.folder.resolve())
    began, origin = sweep.began_with, given.origin.resolve()
    clone = Clone(
        folder=(given.clone or sweep.folder / "clones" / "0").resolve(),
        origin=origin,
        cache=(given.cache or origin / ".dvc" / "cache").resolve(),
        root=(given.root or origin).resolve(),
        reference=f"refs/sweeps/{sweep.name}",
        commit=began["commit"],
        identity=tuple(began["identity"]),
    )
    run_trial(sweep, given.number, clone, prepare=given.prepare, parent=given.attached)


def run_trial(sweep: Sweep, number: int, clone: Clone, *, prepare: bool = False, parent: int | None = None) -> None:
    """Run a trial, or with ``prepare`` the stages before train with its settings; see the module's docstring.

    Args:
        parent: end when this is no longer the parent process.

    Raises:
        UserError: the trial cannot be run now, for a reason that is not its own.
        SystemExit: with `KILLED`, if a signal ended a stage.
    """
    trial, folder = sweep.trial(number), sweep.place(number)
    with ExitStack() as stack:
        stack.enter_context(held(folder / "lock", f"trial {number}"))
        stack.enter_context(held(clone.folder.with_suffix(".lock"), f"the clone {clone.folder.name}"))
        if sweep.result(number):
            return
        end_processes(TRIAL, str(folder))
        try:
            clone.clean()
        except UserError:  # whatever it was: a clone can be lost
            remove(clone.folder)
            clone.clean()
        clone.set_up(trial.settings, folder / "checkpoints")
        name = sweep.experiment(number)
        command = ["repro", *PREPARED] if prepare else ["exp", "run", "--name", name]
        start, log = time.time(), folder / "log.txt"
        begins = log.stat().st_size if log.exists() else 0
        own = {TRIAL: str(folder), root.SWEEP: f"sweep {sweep.name} {clone.commit[:10]}", root.PROGRESS: str(folder / PROGRESS)}
        process = clone.dvc(command, log, **own)
        try:
            behind = _watch(process, sweep, number, parent)
        finally:
            if process.poll() is None:
                end_processes(CLONE, str(clone.folder))
                process.wait()
        if behind:
            result = Result("pruned", behind)
        elif process.returncode == 0:
            if prepare:
                return
            clone.push(name)
            _keep_queries(clone.folder / "metrics" / QUERIES, folder / QUERIES)
            result = Result("done", metrics=metrics(clone.folder), experiment=name)
        else:
            require_room(folder, clone.folder, clone.cache)
            with log.open("rb") as file:
                file.seek(begins)
                said = file.read().decode(errors="replace")
            try:
                result = Result("failed", reason(said, process.returncode))
            except BrokenClone as error:  # by a kill, perhaps: the next attempt gets a new one
                print(f"dvc: {error}; a new clone is made", flush=True)
                remove(clone.folder)
                sys.exit(KILLED)
        sweep.end(number, Result(**{**vars(result), "seconds": round(time.time() - start, 1)}))
        remove(folder / "checkpoints")


def _keep_queries(source: Path, target: Path) -> None:
    """Copy the scores of each query, which the sweep's report compares."""
    if source.is_dir():
        with atomic_write(target) as temporary:
            shutil.copytree(source, temporary)


def _watch(process: "subprocess.Popen[bytes]", sweep: Sweep, number: int, parent: int | None) -> str:
    """Wait until dvc ends; return why the trial should stop before that, or ""."""
    prune, looked = sweep.file.prune, -1.0
    path = sweep.place(number) / PROGRESS
    while process.poll() is None:
        if parent is not None and os.getppid() != parent:
            sys.exit(KILLED)
        if prune and path.exists() and path.stat().st_mtime != looked:
            looked = path.stat().st_mtime
            if behind := falls_behind(sweep, number, prune):
                return behind
        time.sleep(POLL_SECONDS)
    return ""


def require_room(*folders: Path) -> None:
    """Refuse to go on if a disk is full.

    Raises:
        UserError: naming the first of the folders on such a disk.
    """
    for folder in filter(Path.exists, folders):
        if shutil.disk_usage(folder).free < ROOM:
            raise UserError(f"{folder}: cannot be written (No space left on device); make room and run it again")


def reason(log: str, status: int) -> str:
    """Why a trial failed, from what dvc and its stages printed.

    Raises:
        UserError: the reason is not the trial's own.
        SystemExit: a signal ended a stage.
        BrokenClone: no stage failed, but dvc itself.
    """
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    said = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    if wrong := [line for line in said or lines if NOT_ITS_FAULT.search(line)]:
        raise UserError(wrong[-1])
    if said:
        return "; ".join(dict.fromkeys(said))
    if status < 0 or any(BY_SIGNAL.search(line) for line in lines if line.startswith("ERROR: ")):
        sys.exit(KILLED)
    raised = [line for line in lines if re.match(r"[\w.]+(Error|Exception|Interrupt)\b", line)]
    of_dvc = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    if not raised and not any("exited with" in line for line in of_dvc):
        raise BrokenClone((of_dvc or lines or ["no output"])[-1])
    return (raised or of_dvc)[-1][:500]


def metrics(clone: Path) -> dict[str, float]:
    """The metrics of a finished trial: `state.Result.metrics`."""
    found = flat(json.loads((clone / "metrics" / "evaluation.json").read_text(encoding="utf-8")))
    with (clone / "models" / "training.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    scores: dict[str, float] = {}
    for row in rows:
        for column, value in row.items():
            if column.startswith("eval_") and column.endswith("ndcg@10") and value:
                key = f"validation.{column.removeprefix('eval_')}"
                scores[key] = max(scores.get(key, float(value)), float(value))
    return found | scores


if __name__ == "__main__":
    run_stage(main)
