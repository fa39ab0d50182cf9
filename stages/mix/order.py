"""Decides the order in which the sources provide batches."""

from collections.abc import Iterator, Sequence
from typing import Literal

Strategy = Literal["round_robin", "proportional", "temperature"]
Stopping = Literal["first_exhausted", "all_exhausted"]


def weights(rows: Sequence[int], strategy: Strategy, temperature: float) -> list[float]:
    """Relative frequency of each source's turns: equal, proportional to its rows, or to rows ** temperature.

    A temperature of 0 is round robin, 1 is proportional.
    """
    exponent = {"round_robin": 0.0, "proportional": 1.0, "temperature": temperature}[strategy]
    return [float(max(count, 1)) ** exponent for count in rows]


class Turns:
    """Distributes turns evenly by stride scheduling: next is the source furthest behind its weight; of equals, the earlier one.

    Equal weights give round robin. Nothing is random: the rows of each source are already shuffled.
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
        """Remove a source that has no more batches."""
        self._alive.remove(source)
