"""Draws that give the same result on every platform and Python: all rest on `random.Random.random`, whose stream is fixed."""

from collections.abc import Sequence
from random import Random
from typing import Any, TypeVar

T = TypeVar("T")


def generator(seed: int, *names: str) -> Random:
    """A generator of its own for one purpose, so that a change in one part leaves the others' draws alone."""
    return Random(":".join([str(seed), *names]))


def pick(rng: Random, items: Sequence[T]) -> T:
    return items[place(rng, items)]


def place(rng: Random, items: Sequence[Any]) -> int:
    """The place of one of ``items``."""
    return int(rng.random() * len(items))


def number(rng: Random, low: int, high: int) -> int:
    """A whole number from ``low`` to ``high``, both included."""
    return low + int(rng.random() * (high - low + 1))


def shuffled(rng: Random, items: Sequence[T]) -> list[T]:
    keys = [rng.random() for _ in items]
    return [items[i] for i in sorted(range(len(items)), key=keys.__getitem__)]
