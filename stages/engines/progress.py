"""How far a long job is, and the time left: a bar on a terminal, a line a minute in a log."""

import sys
import time
from types import TracebackType

from tqdm import tqdm

from stages.runtime.errors import duration

FORM = "{desc}: {percentage:3.0f}%|{bar}| {n_fmt} of {total_fmt} {unit}, {remaining} left"
EVERY = 60.0  # seconds between lines


class Progress:
    """Counts to ``total``, of which ``done`` were done before; a Ctrl-C inside says how far it came."""

    def __init__(self, what: str, total: int, done: int, unit: str) -> None:
        self._what, self._total, self._unit = what, total, unit
        self._before = self._done = done
        self._start = self._said = time.monotonic()
        self._bar = tqdm(total=total, initial=done, desc=what, unit=unit, bar_format=FORM, leave=False, dynamic_ncols=True, disable=None)

    def update(self, number: int) -> None:
        """``number`` more are done."""
        self._done += number
        self._bar.update(number)
        now = time.monotonic()
        if self._bar.disable and now - self._said >= EVERY:
            self._said = now
            left = (now - self._start) / (self._done - self._before) * (self._total - self._done)
            print(f"{self}, {duration(left)} left", file=sys.stderr, flush=True)

    def reach(self, done: int) -> None:
        """``done`` are done in all."""
        if done > self._done:
            self.update(done - self._done)

    def __str__(self) -> str:
        return f"{self._what}: {self._done:,} of {self._total:,} {self._unit}"

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._bar.close()
        if isinstance(error, KeyboardInterrupt):
            error.add_note(f"{self}; the same command resumes")
