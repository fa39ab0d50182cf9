"""Trials on this machine: one after another, or as many as there are GPUs, each pinned to its own."""

import os
import subprocess
from contextlib import suppress
from pathlib import Path

from stages.config.sweep import Local
from stages.sweeps.clone import CLONE, end_processes
from stages.sweeps.launcher import PARENT, command, free

CUDA = "CUDA_VISIBLE_DEVICES"


def gpus() -> list[str]:
    """The GPUs that trials may use, by the names that CUDA_VISIBLE_DEVICES takes."""
    if CUDA in os.environ:
        return [name for name in os.environ[CUDA].split(",") if name.strip() not in ("", "-1")]
    with suppress(OSError, subprocess.SubprocessError):  # no NVIDIA driver; importing torch instead takes seconds
        done = subprocess.run(
            ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"], capture_output=True, text=True, check=True, timeout=30
        )
        return done.stdout.split()
    return []


class LocalLauncher:
    """See `stages.sweeps.launcher.Launcher`. Each slot has a clone of its own, in FOLDER/clones/<slot>."""

    def __init__(self, folder: Path, settings: Local, cache: Path) -> None:
        self._folder, self._cache = folder, cache
        names, each = gpus(), settings.gpus
        self._gpus = [",".join(names[place : place + each]) for place in range(0, len(names) - each + 1, each)]
        self.slots = settings.parallel or max(1, len(self._gpus))
        self._running: dict[int, tuple[int, subprocess.Popen[bytes]]] = {}

    def _clone(self, slot: int) -> Path:
        return (self._folder / "clones" / str(slot)).resolve()

    def start(self, number: int, *, prepare: bool = False) -> None:
        slot = free(self.slots, {slot for slot, _ in self._running.values()})
        pinned = {CUDA: self._gpus[slot % len(self._gpus)]} if self._gpus else {}
        process = subprocess.Popen(
            command(self._folder, number, self._clone(slot), self._cache, prepare),
            env={**os.environ, **pinned, PARENT: str(os.getpid())},  # told now, as this process may be killed before the trial can ask
            start_new_session=True,  # the launcher, not the terminal, ends it at Ctrl-C
        )
        self._running[number] = slot, process

    def poll(self) -> dict[int, int]:
        ended = {number: status for number, (_, process) in self._running.items() if (status := process.poll()) is not None}
        for number in ended:
            del self._running[number]
        return ended

    def stop(self) -> None:
        for slot, process in self._running.values():
            process.kill()
            process.wait()
            end_processes(CLONE, str(self._clone(slot)))
        self._running.clear()


open_launcher = LocalLauncher
