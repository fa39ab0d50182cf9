"""Draws that give the same result on every platform and Python: all rest on `random.Random.random`, whose stream is fixed."""

from collections.abc import Sequence
from random import Random
from typing import TypeVar

T = TypeVar("T")


def generator(seed: int, *names: str) -> Random:
    """Return a generator of its own for one purpose, so that a change in one part leaves the others' draws alone."""
    return Random(":".join([str(seed), *names]))


def pick(rng: Random, items: Sequence[T]) -> T:
    """Return one of ``items``."""
    return items[int(rng.random() * len(items))]


def number(rng: Random, low: int, high: int) -> int:
    """Return a whole number from ``low`` to ``high``, both included."""
    return low + int(rng.random() * (high - low + 1))


def shuffled(rng: Random, items: Sequence[T]) -> list[T]:
    """Return ``items`` in a random order."""
    keys = [rng.random() for _ in items]
    return [items[i] for i in sorted(range(len(items)), key=keys.__getitem__)]
