"""A sweep while it runs: a live table on a terminal, else a line for each event."""

import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any

from rich import box
from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table as RichTable

from stages.config.sweep import SweepFile
from stages.runtime.errors import duration
from stages.sweeps.plan import Plan
from stages.sweeps.state import Sweep

LINE_SECONDS = 60.0
MARKS = {"done": "✓", "failed": "✗", "pruned": "–"}


class Table:
    """Shows the trials: number, state, step, loss, best score, time left.

    On a terminal, as many rows as fit: the running ones, then those that ended last.
    """

    def __init__(self, sweep: Sweep, file: SweepFile, plan: Plan) -> None:
        self._sweep, self._file = sweep, file
        self._console = Console(highlight=False)
        self._live = Live(console=self._console, refresh_per_second=2) if self._console.is_terminal else None
        self._varied = [*file.parameters, *(["seed"] if file.seeds else [])]
        self._started: set[int] = set()
        self._rows: dict[int, list[str]] = {}
        self._ended = {*plan.results}
        self._before = len(plan.results)
        self._told = self._start = time.monotonic()

    def __enter__(self) -> "Table":
        if self._live:
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._live:
            self._live.stop()

    def show(self, plan: Plan, running: Sequence[int]) -> None:
        """Bring the table up to date, or print what is new."""
        if self._live:
            title = f"{self._summary(plan, running)}\nsettings: {', '.join(key.rpartition('.')[2] for key in self._varied)}"
            table = RichTable(
                title=escape(title), title_style="", title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), expand=True
            )
            for column in ("trial", "state", "step", "loss", "best", "left"):
                table.add_column(column, no_wrap=True)
            table.add_column("settings", no_wrap=True, ratio=1)  # the rest of the line; the reason of a failure is printed again at the end
            for number in self._shown(plan, running):
                table.add_row(*(escape(cell) for cell in self._row(plan, number, number in running)))
            self._live.update(table)
            return
        started = [number for number in running if number not in self._started]
        ended = [
            number for number in plan.results if number not in self._ended and number not in running
        ]  # its process ends a moment later
        self._started, self._ended = {*running}, self._ended | {*ended}
        late = time.monotonic() - self._told > LINE_SECONDS
        for number in [*ended, *(running if late else started)]:
            cells = self._row(plan, number, number in running)
            print("  ".join(filter(None, [f"trial {cells[0]}", *cells[1:]])), flush=True)
        if ended:
            print(self._summary(plan, running), flush=True)
        if ended or started or late:
            self._told = time.monotonic()

    def _shown(self, plan: Plan, running: Sequence[int]) -> list[int]:
        room = max(3, self._console.height - 9)
        return [*sorted(running), *sorted(plan.results, reverse=True)][:room]

    def _row(self, plan: Plan, number: int, running: bool) -> list[str]:
        trial, result = plan.trials[number], plan.results.get(number)
        if number in self._rows and result and not running:
            return self._rows[number]
        names = {key: f"{key.rpartition('.')[2]}=" * (self._live is None) for key in self._varied}  # the live table's title has them
        settings = " ".join(f"{name}{trial.settings.get(key)}" for key, name in names.items())
        entries = self._sweep.progress(number)
        last: dict[str, Any] = {key: value for entry in entries for key, value in entry.items()}
        scores = [entry["score"] for entry in entries if "score" in entry]
        best = f"{max(scores):.3f}" if scores else ""
        step = f"{last['step']}/{last['steps']}" if last else ""
        loss = f"{last['loss']:.3g}" if "loss" in last else ""
        if result and not running:
            metric = self._file.goals()[0][0]
            best = f"{result.metrics[metric]:.4f}" if metric in result.metrics else best
            state = f"{MARKS[result.state]} {result.state}"
            row = [str(number), state, step, loss, best, duration(result.seconds), f"{settings}  {result.reason}".rstrip()]
            return self._rows.setdefault(number, row)
        phase = "starts" if not entries else "evaluates" if last["step"] >= last["steps"] else "trains"
        return [str(number), phase, step, loss, best, _left(entries), settings]

    def _summary(self, plan: Plan, running: Sequence[int]) -> str:
        ended, count = len(plan.results), plan.total
        states = [result.state for result in plan.results.values()]
        parts = [f"{ended} of {count} trials", *(f"{states.count(state)} {state}" for state in ("failed", "pruned") if state in states)]
        if (new := ended - self._before) > 0 and ended < count:
            parts.append(f"about {duration((time.monotonic() - self._start) / new * (count - ended))} left")
        if best := plan.ranked()[:1]:
            metric = self._file.goals()[0][0]
            values = " ".join(f"{key.rpartition('.')[2]}={value}" for key, value in best[0].parameters.items())
            parts.append(f"best {metric} {best[0].mean(metric):.4f} {values}".rstrip())
        return ", ".join(parts)


def _left(entries: list[dict[str, Any]]) -> str:
    """The time until a training run's last step, at the speed since it was started or resumed."""
    starts = [place for place, entry in enumerate(entries) if "loss" not in entry and "score" not in entry]
    since = entries[starts[-1] if starts else 0 :]
    if len(since) < 2 or since[-1]["step"] == since[0]["step"]:
        return ""
    speed = (since[-1]["time"] - since[0]["time"]) / (since[-1]["step"] - since[0]["step"])
    return duration(max(0.0, speed * (since[-1]["steps"] - since[-1]["step"])))
