"""Trials as tasks of Ray, on a local or a running cluster: https://docs.ray.io/en/latest/ray-core/tasks.html.

Ray starts a task wherever its CPUs and GPUs are free, gives it its own GPUs, and runs it again if its node dies. All nodes must see the
checkout, the sweep's folder in it and the DVC cache under the same paths, as on a shared disk.
"""

import os
import socket
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any

from stages.config.sweep import Ray
from stages.runtime.errors import UserError
from stages.sweeps.clone import CLONE, end_processes
from stages.sweeps.launcher import command, free
from stages.sweeps.trial import KILLED


class RayLauncher:
    """See `stages.sweeps.launcher.Launcher`. Each slot has a clone of its own, in FOLDER/clones/ray-<slot>."""

    def __init__(self, folder: Path, settings: Ray, cache: Path) -> None:
        try:
            import ray
        except ImportError as error:
            raise UserError("launcher: ray is not installed; install it with `pip install 'nordic-sparse[ray]'`") from error
        self._ray: Any = ray
        address = settings.address or os.environ.get("RAY_ADDRESS")
        _require_answer(address)
        local: dict[str, Any] = {} if address else {"include_dashboard": False, "_node_ip_address": "127.0.0.1"}
        try:
            ray.init(address=address, log_to_driver=False, configure_logging=False, ignore_reinit_error=True, **local)
        except Exception as error:  # also a bare Exception, if its own processes take too long to start
            reason = " ".join(str(error).split())[:200]
            raise UserError(f"ray.address: no Ray cluster answers at {address or 'this machine'} ({reason}); see `ray status`") from error
        there = ray.cluster_resources()
        room = [there.get("CPU", 0) / settings.num_cpus, *([there.get("GPU", 0) / settings.num_gpus] if settings.num_gpus else [])]
        if min(room) < 1:
            ray.shutdown()
            raise UserError(
                f"ray: a trial needs num_cpus {settings.num_cpus:g} and num_gpus {settings.num_gpus:g}, and the cluster has "
                f"{there.get('CPU', 0):g} and {there.get('GPU', 0):g}; ask for less"
            )
        self.slots = settings.parallel or int(min(room))
        self._folder, self._cache, self._checkout = folder.resolve(), cache.resolve(), Path.cwd()
        options: dict[str, Any] = {"num_cpus": settings.num_cpus, "num_gpus": settings.num_gpus, "max_retries": settings.retries}
        self._task: Any = ray.remote(**options)(subprocess.call)
        self._running: dict[int, tuple[int, Any]] = {}

    def start(self, number: int, *, prepare: bool = False) -> None:
        slot = free(self.slots, {slot for slot, _ in self._running.values()})
        clone = self._folder / "clones" / f"ray-{slot}"
        trial = command(self._folder, number, clone, self._cache, prepare)
        self._running[number] = slot, self._task.remote(trial, cwd=str(self._checkout))

    def poll(self) -> dict[int, int]:
        ended: dict[int, int] = {}
        tasks = {task: number for number, (_, task) in self._running.items()}
        ready, _ = self._ray.wait([*tasks], num_returns=len(tasks), timeout=0) if tasks else ([], [])
        for task in ready:
            try:
                ended[tasks[task]] = self._ray.get(task)
            except self._ray.exceptions.RayError:  # its node or worker died more often than retries allow
                ended[tasks[task]] = KILLED
            del self._running[tasks[task]]
        return ended

    def stop(self) -> None:
        for slot, task in self._running.values():
            with suppress(self._ray.exceptions.RayError):
                self._ray.cancel(task, force=True)
            end_processes(CLONE, str(self._folder / "clones" / f"ray-{slot}"))  # those on other nodes end with their worker: --attached
        self._running.clear()
        self._ray.shutdown()


def _require_answer(address: str | None) -> None:
    """Refuse host:port if nothing listens there: Ray itself would try for minutes."""
    host, _, port = (address or "").rpartition(":")
    if host and "/" not in host and port.isdecimal():
        try:
            socket.create_connection((host, int(port)), timeout=10).close()
        except OSError as error:
            raise UserError(f"ray.address: no Ray cluster answers at {address} ({error.strerror or error}); see `ray status`") from error


open_launcher = RayLauncher
