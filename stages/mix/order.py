"""Whose turn it is: in which order the sources give a batch."""

from collections.abc import Iterator, Sequence
from typing import Literal

Strategy = Literal["round_robin", "proportional", "temperature"]
Stopping = Literal["first_exhausted", "all_exhausted"]


def weights(rows: Sequence[int], strategy: Strategy, temperature: float) -> list[float]:
    """How often each source has its turn, up to a factor: equally often, by its rows, or by rows ** temperature.

    A temperature of 0 is round robin, 1 is proportional.
    """
    exponent = {"round_robin": 0.0, "proportional": 1.0, "temperature": temperature}[strategy]
    return [float(max(count, 1)) ** exponent for count in rows]


class Turns:
    """Gives turns evenly: next is the source that is furthest behind its weight (stride scheduling), the earlier one of
    equals.

    With equal weights that is round robin. There is no chance in it: the rows of each source are shuffled already.
    """

    def __init__(self, weights: Sequence[float]) -> None:
        self._weights = list(weights)
        self._given = [0] * len(weights)
        self._alive = list(range(len(weights)))

    def __iter__(self) -> Iterator[int]:
        while self._alive:
            source = min(self._alive, key=lambda each: ((self._given[each] + 1) / self._weights[each], each))
            self._given[source] += 1
            yield source

    def leave(self, source: int) -> None:
        """The source has nothing more to give."""
        self._alive.remove(source)
