"""Run one trial of a sweep on a machine that may die at any moment: a container that sees nothing but what it is given and a store.

The trial itself is `stages.sweeps.trial`, as everywhere; this module gives it a repository, a sweep's folder and a DVC cache. The store is
folders that outlive the machine (volumes): the code as a git bundle, DVC's cache, unfinished downloads, the sweeps' folders with the
checkpoints of unfinished runs, and each finished experiment as a git bundle. Training writes to the machine's own disk, and complete
checkpoints are copied to the store meanwhile: a second copy of each, but no step waits for the store. A machine that dies loses the steps
since the last complete checkpoint; the next one resumes from it.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stages.launchers.bundles import bundle_experiments, unbundle_code
from stages.runtime.checkpoint import incomplete
from stages.runtime.errors import UserError
from stages.runtime.files import atomic_write, read_json, remove, write_json
from stages.sweeps.state import PROGRESS, QUERIES, Sweep

CODE, EXPERIMENTS, DVC = "code", "experiments", "dvc"
"""Folders in the store's cache: bundles by commit, bundles by experiment, DVC's cache."""
RECORDS = (PROGRESS, "log.txt", "runner.txt", "result.json")
"""Files of a trial that the store keeps up to date; the last appears when it has ended."""
POLL = 1.0  # seconds between two looks at the trial
REPORT = 20.0  # seconds between two copies of its records to the store
GRACE = 20.0  # seconds for the trial to end after Ctrl-C; Modal leaves 30 before it kills


@dataclass(frozen=True)
class Job:
    """A trial.

    Attributes:
        sweep: name of the sweep.
        number: of the trial.
        experiment: name of the DVC experiment that it leaves.
        code: the commit that refs/sweeps/<sweep> names; the store has it as a bundle.
        files: content of the JSON files that the trial finds in the sweep's folder, by path.
        prepare: run only the stages before train.
    """

    sweep: str
    number: int
    experiment: str
    code: str
    files: Mapping[str, Any]
    prepare: bool = False

    @property
    def place(self) -> str:
        """The trial's folder in the sweep's."""
        return f"trials/{self.number:03d}"


def job_of(sweep: Sweep, number: int, prepare: bool = False) -> Job:
    """What a container is given for a trial."""
    trial = f"trials/{number:03d}/trial.json"
    files = {"sweep.json": sweep.began_with, trial: read_json(sweep.folder / trial)}
    return Job(sweep.name, number, sweep.experiment(number), sweep.began_with["commit"], files, prepare)


@dataclass(frozen=True)
class Store:
    """Folders that outlive the machine. ``commit`` makes what was written to them last; ``reload`` shows what others have committed."""

    cache: Path
    data: Path
    runs: Path
    commit: Callable[[], None]
    reload: Callable[[], None]


def run(job: Job, store: Store, work: Path) -> str | None:
    """Run a trial to its result, with ``work`` for all that may be lost. A clone that an earlier trial left there is reused.

    Returns:
        None if there is a result; else the one-line error of what the user must do first.

    Raises:
        UserError: something killed the trial; another try resumes it.
    """
    store.reload()
    folder, kept = work / "sweeps" / job.sweep, store.runs / job.sweep
    origin = unbundle_code(store.cache / CODE / f"{job.code}.bundle", work / "origin.git")
    restore(job, folder, kept)
    process = start(job, store, work, folder, origin)
    try:
        watch(process, job, store, folder, kept)
    finally:
        end(process)
        if not (folder / job.place / "result.json").exists():
            mirror(folder / job.place / "checkpoints", kept / job.place / "checkpoints")
            report(job, folder, kept)
            store.commit()
    if not process.returncode and not job.prepare:
        if (folder / job.place / QUERIES).is_dir():
            with atomic_write(kept / job.place / QUERIES) as temporary:
                shutil.copytree(folder / job.place / QUERIES, temporary)
        if read_json(folder / job.place / "result.json").get("experiment"):
            bundle_experiments(origin, job.experiment, store.cache / EXPERIMENTS / f"{job.experiment}.bundle")
        remove(kept / job.place / "checkpoints")
    report(job, folder, kept)
    store.commit()
    if process.returncode in (0, 2):
        return last_line(folder / job.place / "runner.txt") if process.returncode else None
    raise UserError(f"{job.experiment}: something ended it (status {process.returncode}); {last_line(folder / job.place / 'log.txt')}")


def restore(job: Job, folder: Path, kept: Path) -> None:
    """Make the sweep's folder hold the trial's files and what an earlier try of the same trial has left in the store."""
    remove(folder / job.place)
    if read_json(kept / job.place / "trial.json") == job.files[f"{job.place}/trial.json"]:
        shutil.copytree(kept / job.place, folder / job.place)
        for place in (folder, kept):
            remove(place / job.place / "result.json")  # who starts a trial wants it to run
    else:
        remove(kept / job.place)
    for name, content in job.files.items():
        write_json(folder / name, content)
        write_json(kept / name, content)


def start(job: Job, store: Store, work: Path, folder: Path, origin: Path) -> "subprocess.Popen[bytes]":
    """Start the trial's process."""
    own = {
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "NORDIC_SPARSE_DOWNLOADS": str(store.data / "downloads"),
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]),
    }
    command = [
        sys.executable,
        "-m",
        "stages.sweeps.trial",
        str(folder),
        str(job.number),
        "--attached",
        *(["--prepare"] if job.prepare else []),
    ]
    places = {"clone": work / "clone", "origin": origin, "cache": store.cache / DVC, "root": work / "root"}
    for name, place in places.items():
        command += [f"--{name}", str(place)]
    places["root"].mkdir(parents=True, exist_ok=True)
    with (folder / job.place / "runner.txt").open("ab") as output:
        return subprocess.Popen(
            command,
            cwd=work,
            env=os.environ | own,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def watch(process: "subprocess.Popen[bytes]", job: Job, store: Store, folder: Path, kept: Path) -> None:
    """Until the trial ends, copy its complete checkpoints to the store at once and its records every `REPORT` seconds; print its log."""
    log, reported = folder / job.place / "log.txt", time.monotonic()
    printed = log.stat().st_size if log.exists() else 0
    prunes = job.files["sweep.json"]["file"].get("prune")
    while True:
        with suppress(subprocess.TimeoutExpired):
            process.wait(POLL)
        printed = echo(log, printed)
        if process.returncode is not None:
            return
        saved = mirror(folder / job.place / "checkpoints", kept / job.place / "checkpoints")
        if saved or time.monotonic() - reported > REPORT:
            report(job, folder, kept)
            store.commit()
            if prunes:
                show_others(job, store, folder)
            reported = time.monotonic()


def echo(log: Path, start: int) -> int:
    """Print a file from byte ``start`` on; return its length."""
    if not log.exists():
        return start
    with log.open("rb") as file:
        file.seek(start)
        sys.stdout.write(file.read().decode("utf-8", "replace"))
        sys.stdout.flush()
        return file.tell()


def end(process: "subprocess.Popen[bytes]") -> None:
    """End the trial and its stages, if they still run: first as Ctrl-C does."""
    for number, patience in ((signal.SIGINT, GRACE), (signal.SIGKILL, None)):
        if process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, number)
            with suppress(subprocess.TimeoutExpired):
                process.wait(patience)


def report(job: Job, folder: Path, kept: Path) -> None:
    """Copy the trial's records to the store."""
    for name in RECORDS:
        with suppress(FileNotFoundError), atomic_write(kept / job.place / name) as temporary:
            shutil.copyfile(folder / job.place / name, temporary)


def show_others(job: Job, store: Store, folder: Path) -> None:
    """Bring the other trials' progress into the sweep's folder: the trial compares itself with it to stop early."""
    store.reload()
    for trial in (store.runs / job.sweep / "trials").iterdir():
        if trial.name != Path(job.place).name and (trial / PROGRESS).exists():
            for name in ("trial.json", PROGRESS):
                with atomic_write(folder / "trials" / trial.name / name) as temporary:
                    shutil.copyfile(trial / name, temporary)


def mirror(source: Path, target: Path) -> bool:
    """Make ``target`` hold the complete checkpoints in ``source``, which are <run>/checkpoint-N; whether anything changed.

    First what is new is copied, then what is gone is removed, so that ``target`` always holds one.
    """
    complete = {path.relative_to(source) for path in source.glob("*/checkpoint-*") if not incomplete(path)}
    kept = {path.relative_to(target) for path in target.glob("*/checkpoint-*")}
    changed = False
    for name in sorted(complete - kept):
        with suppress(FileNotFoundError, shutil.Error), atomic_write(target / name) as temporary:  # the trainer removes one after the next
            shutil.copytree(source / name, temporary)
            changed = True
    for name in kept - complete if complete else ():
        remove(target / name)
        changed = True
    return changed


def last_line(file: Path) -> str:
    """The last line of a file that is not blank, without the ``error:`` before it."""
    lines = file.read_text(encoding="utf-8", errors="replace").split("\n") if file.exists() else []
    return next((line.strip().removeprefix("error: ") for line in reversed(lines) if line.strip()), "it has printed nothing")
