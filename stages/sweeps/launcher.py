"""What a launcher is: it starts `python -m stages.sweeps.trial FOLDER NUMBER` somewhere, and says when that has ended.

It may assume: the sweep's folder has sweep.json and the trial's trial.json; starting a trial again is always safe; a trial that has a
result ends at once. It must see to it that the trial's process finds the sweep's folder, a repository with refs/sweeps/<name> and the DVC
cache, and that FOLDER/trials/<number>/{progress.jsonl,result.json,log.txt} are up to date here when `poll` returns.
"""

import shlex
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Protocol


class Launcher(Protocol):
    """One engine.

    Attributes:
        slots: how many trials can run at once.
    """

    slots: int

    def start(self, number: int, *, prepare: bool = False) -> None:
        """Start a trial, or with ``prepare`` its stages before train, and return at once. At most `slots` run at a time.

        Raises:
            UserError: the engine cannot be reached, or refuses.
        """

    def poll(self) -> dict[int, int]:
        """The trials that have ended since the last call: number → exit status, as `stages.sweeps.trial` lists them.

        A status that the engine does not know, because a container or node died, is `stages.sweeps.trial.KILLED`.
        """

    def stop(self) -> None:
        """End all running trials and wait for that; called once, also after an error or Ctrl-C."""


PARENT = "NORDIC_SPARSE_PARENT"
"""Environment variable of `command`: the process with which the trial ends; by default the one that runs the command."""


def free(slots: int, used: Collection[int]) -> int:
    """The first slot that no running trial uses."""
    return next(slot for slot in range(slots) if slot not in used)


def command(folder: Path, number: int, clone: Path, cache: Path, prepare: bool) -> list[str]:
    """The command of a trial on a machine that has the same paths as this one; run it in the checkout. It writes to runner.txt."""
    parts = [sys.executable, "-m", "stages.sweeps.trial", str(folder), str(number), "--clone", str(clone), "--cache", str(cache)]
    written = shlex.join([*parts, *(["--prepare"] if prepare else [])])
    log = folder / "trials" / f"{number:03d}" / "runner.txt"
    return ["sh", "-c", f'exec {written} --attached "${{{PARENT}:-$PPID}}" </dev/null >>{shlex.quote(str(log))} 2>&1']
