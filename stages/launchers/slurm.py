"""Trials as jobs of Slurm, by submitit: https://github.com/facebookincubator/submitit.

The nodes must see the checkout, the sweep's folder in it and the DVC cache under the same paths, as on a cluster's shared disk. ``cluster:
local`` runs the jobs as processes of this machine instead: for a try, and for the tests.
"""

import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any

from stages.config.sweep import Slurm
from stages.runtime.errors import UserError
from stages.sweeps.clone import CLONE, end_processes
from stages.sweeps.launcher import command, free
from stages.sweeps.trial import KILLED


class SlurmLauncher:
    """See `stages.sweeps.launcher.Launcher`. Each slot has a clone of its own, in FOLDER/clones/slurm-<slot>."""

    def __init__(self, folder: Path, settings: Slurm, cache: Path) -> None:
        try:
            import submitit
        except ImportError as error:
            raise UserError("launcher: slurm needs submitit; install it with `pip install 'nordic-sparse[slurm]'`") from error
        self.slots = settings.parallel
        self._folder, self._cache, self._checkout = folder.resolve(), cache.resolve(), Path.cwd()
        try:
            self._executor: Any = submitit.AutoExecutor(folder=self._folder / "jobs" / "%j", cluster=settings.cluster)
            self._executor.update_parameters(timeout_min=settings.timeout_min, **{"name": folder.name, **settings.options})
        except (RuntimeError, NameError, TypeError, ValueError) as error:
            reason = " ".join(str(error).split())[:200]
            raise UserError(f"slurm: submitit refuses ({reason}); run this where `sbatch` is, and see slurm.options") from error
        self._running: dict[int, tuple[int, Any]] = {}

    def start(self, number: int, *, prepare: bool = False) -> None:
        slot = free(self.slots, {slot for slot, _ in self._running.values()})
        clone = self._folder / "clones" / f"slurm-{slot}"
        trial = command(self._folder, number, clone, self._cache, prepare)
        try:
            self._running[number] = slot, self._executor.submit(subprocess.call, trial, cwd=str(self._checkout))
        except (RuntimeError, OSError, subprocess.SubprocessError) as error:
            raise UserError(f"slurm: the job was refused ({' '.join(str(error).split())[:300]}); see slurm.options") from error

    def poll(self) -> dict[int, int]:
        ended: dict[int, int] = {}
        for number, (_, job) in [*self._running.items()]:
            if job.done():
                error = job.exception()
                ended[number] = KILLED if error else job.result()  # a job that timed out or whose node died
                del self._running[number]
        return ended

    def stop(self) -> None:
        for slot, job in self._running.values():
            with suppress(Exception):  # of whatever talks to Slurm
                job.cancel(check=False)
            end_processes(CLONE, str(self._folder / "clones" / f"slurm-{slot}"))
        self._running.clear()


open_launcher = SlurmLauncher
