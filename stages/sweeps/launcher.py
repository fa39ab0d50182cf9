"""What a launcher is: it starts `python -m stages.sweeps.trial FOLDER NUMBER` somewhere, and says when that has ended.

It may assume: the sweep's folder has sweep.json and the trial's trial.json; starting a trial again is always safe; a trial that has a
result ends at once. It must see to it that the trial's process finds the sweep's folder, a repository with refs/sweeps/<name> and the DVC
cache, and that FOLDER/trials/<number>/{progress.jsonl,result.json,log.txt} are up to date here when `poll` returns.
"""

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
