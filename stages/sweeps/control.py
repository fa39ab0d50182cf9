"""The loop of a sweep: start what is next wherever there is room, take what has ended, show it; stop only where going on is useless."""

import time
from pathlib import Path

from stages.config.sweep import SweepFile
from stages.runtime.errors import UserError
from stages.sweeps.launcher import Launcher
from stages.sweeps.plan import Plan, missing_metric
from stages.sweeps.state import Result, Sweep
from stages.sweeps.table import Table

POLL_SECONDS = 0.2
DEATHS = 5
"""A trial that was killed so often, by the system for want of memory perhaps, counts as failed."""
HOPELESS = 3
"""So many failures and nothing else: then the rest will hardly work."""


def run(sweep: Sweep, file: SweepFile, path: Path, plan: Plan, launcher: Launcher, table: Table) -> None:
    """Run all trials that have no result.

    Raises:
        UserError: a trial could not run for a reason that is not its own; the first ones all failed; an objective does not exist.
    """
    control = Control(sweep, file, path, plan, launcher)
    try:
        with table:
            while control.step():
                table.show(plan, control.running)
                time.sleep(POLL_SECONDS)
            table.show(plan, [])
    finally:
        launcher.stop()


class Control:
    """The state of the loop; it is in the sweep's folder too, so that nothing here is missed by the next start."""

    def __init__(self, sweep: Sweep, file: SweepFile, path: Path, plan: Plan, launcher: Launcher) -> None:
        self._sweep, self._file, self._path, self._plan, self._launcher = sweep, file, path, plan, launcher
        self.running: list[int] = []
        self._deaths: dict[int, int] = {}
        self._prepared = launcher.slots == 1  # the first trial fills the cache for those after it

    def step(self) -> bool:
        """Take what has ended and start what is next; False when there is nothing more to do."""
        for number, status in self._launcher.poll().items():
            self.running.remove(number)
            self._ended(number, status)
        while len(self.running) < (self._launcher.slots if self._prepared else 1):
            following = self._plan.next(self.running)
            if following is None:
                break
            self._launcher.start(following, prepare=not self._prepared)
            self.running.append(following)
        return bool(self.running)

    def _ended(self, number: int, status: int) -> None:
        result = self._sweep.result(number)
        if result is None and status == 0 and not self._prepared:
            self._prepared = True
        elif status == 2:
            raise UserError(f"trial {number}: {_last_line(self._sweep.place(number) / 'runner.txt')}")
        elif result is None:
            self._deaths[number] = self._deaths.get(number, 0) + 1
            if self._deaths[number] == DEATHS:
                place = self._sweep.place(number)
                why = f"was killed or broke off {DEATHS} times (memory?), lastly: {_last_line(place / 'runner.txt')}; see {place}/log.txt"
                self._sweep.end(number, Result("failed", why))
        self._plan.refresh()
        if result and result.state == "done":
            missing_metric(self._file, result, self._path)
        results = [*self._plan.results.values()]
        if len(results) >= HOPELESS and all(each.state == "failed" for each in results):
            raise UserError(f"all of the first {len(results)} trials failed: {results[-1].reason}; correct that and add --retry-failed")


def _last_line(path: Path) -> str:
    lines = path.read_text(encoding="utf-8", errors="replace").split("\n") if path.exists() else []
    return next((line.removeprefix("error: ") for line in reversed(lines) if line.strip()), "no reason given")
