"""How far a score may be the luck of its queries: intervals by bootstrap, a paired randomisation test, Holm's correction.

A set's queries are a sample of those that people ask. The interval is the middle 95% of the means of 10,000 samples with replacement
(Sakai 2006, https://doi.org/10.1145/1148170.1148261). The test asks how often the difference between two systems is at least as large, up
or down, if each query's two scores are swapped by the toss of a coin: Fisher's randomisation test, which Smucker et al. 2007
(https://doi.org/10.1145/1321440.1321528) recommend over the sign test and Wilcoxon's. It is exact up to `EXACT` queries that differ;
above, 10,000 tosses, the observed one counted too, so that p is never 0 (Phipson and Smyth 2010). Several sets are averaged as in
metrics/evaluation.json, each with the same weight, and their queries are resampled within each set. Every draw is seeded.

None of this covers the luck of the training seed.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from stages.retrieval.scores import MODEL

RESAMPLES = 10_000
CONFIDENCE = 0.95
LEVEL = 0.05
"""Below it, a difference is marked as significant."""
EXACT = 13  # queries: 2**13 assignments of signs are fewer than RESAMPLES
SEED = 1
DRAWS = 4_000_000  # numbers in memory at a time

BASELINES = ("bm25", "bm25_stemmed")
"""The systems of which the better one is what the model is tested against."""
LOW, HIGH, P_VALUE = "ndcg@10_low", "ndcg@10_high", "p_value"
MEAN = "mean"

UP, DOWN = "▲", "▼"
LEGEND = f"{UP} {DOWN}: significantly above or below BM25 (p < {LEVEL}; see docs/evaluation.md)"

Sets = Sequence[np.ndarray]
"""A score, or a difference of two, for each query of each set."""


@dataclass(frozen=True)
class Comparison:
    """Two systems on the same queries.

    Attributes:
        queries: how many.
        first, second: mean scores, each set with the same weight.
        low, high: the 95% interval of ``difference``.
        p: of the paired test, before any correction.
        wins, ties, losses: queries on which the second is better, equal, worse.
    """

    queries: int
    first: float
    second: float
    low: float
    high: float
    p: float
    wins: int
    ties: int
    losses: int

    @property
    def difference(self) -> float:
        """Second minus first."""
        return self.second - self.first


def compare(first: Sets, second: Sets) -> Comparison:
    """``second`` against ``first``, both for the same queries of the same sets in the same order; no set may be empty."""
    differences = [after - before for before, after in zip(first, second, strict=True)]
    flat = np.concatenate(differences)
    low, high = interval(differences)
    wins, losses = int((flat > 0).sum()), int((flat < 0).sum())
    return Comparison(len(flat), _mean(first), _mean(second), low, high, p_value(differences), wins, len(flat) - wins - losses, losses)


def interval(sets: Sets) -> tuple[float, float]:
    """The 95% interval of the mean over sets of the mean over queries; a point if each set has one query.

    >>> interval([np.array([0.5])])
    (0.5, 0.5)
    """
    draw = np.random.default_rng(SEED)
    means = np.zeros(RESAMPLES)
    for values in sets:
        for rows in _chunks(len(values)):
            chosen = draw.integers(0, len(values), (rows.stop - rows.start, len(values)))
            means[rows] += values[chosen].mean(axis=1) / len(sets)
    low, high = np.quantile(means, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


def p_value(differences: Sets) -> float:
    """Two-sided p of the paired randomisation test that the mean over sets of the mean difference is 0; 1 if every query is a tie.

    >>> p_value([np.array([0.1, 0.2, 0.3])])  # 2 of the 8 assignments of signs are as far from 0
    0.25
    """
    weighted = np.concatenate([values / (len(values) * len(differences)) for values in differences])
    weighted = weighted[weighted != 0]
    if not len(weighted):
        return 1.0
    total = weighted.sum()
    observed = abs(total) * (1 - 1e-9)  # rounding may not make equal sums differ
    if len(weighted) <= EXACT:
        swapped = np.arange(2 ** len(weighted))[:, None] >> np.arange(len(weighted)) & 1
        return float((np.abs(total - 2 * (swapped @ weighted)) >= observed).mean())
    draw = np.random.default_rng(SEED)
    extreme = 1
    for rows in _chunks(len(weighted)):
        swapped = draw.integers(0, 2, (rows.stop - rows.start, len(weighted)), dtype=np.int8)
        extreme += int((np.abs(total - 2 * (swapped @ weighted)) >= observed).sum())
    return extreme / (RESAMPLES + 1)


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values corrected for testing several hypotheses (Holm 1979), in the order given.

    >>> holm([0.03, 0.01, 0.5])
    [0.06, 0.03, 0.5]
    """
    corrected, highest = [0.0] * len(p_values), 0.0
    for place, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        highest = max(highest, min(1.0, (len(p_values) - place) * p_values[index]))
        corrected[index] = highest
    return corrected


def mark(difference: float, p: float | None) -> str:
    """The mark after a difference in a table: ▲ or ▼ if it is significant, else a blank of the same width; "" if there was no test."""
    if p is None:
        return ""
    return f" {(UP if difference > 0 else DOWN) if p < LEVEL else ' '}"


def uncertainty(scores: Mapping[str, Mapping[str, np.ndarray]]) -> dict[str, dict[str, float]]:
    """By set, and for ``mean``: the interval of the model's nDCG@10, and p of its difference to the better BM25.

    Args:
        scores: set → system → nDCG@10 of each query. Sets without the model are left out, and then there is no ``mean``.

    Returns:
        the sets' p-values corrected over the sets by `holm`; that of ``mean`` is one test of its own.
    """
    known = {name: systems for name, systems in scores.items() if MODEL in systems}
    found = {name: _bounds([systems]) for name, systems in known.items()}
    tested = {name: p for name, systems in known.items() if (p := _against_bm25([systems])) is not None}
    for name, p in zip(tested, holm(list(tested.values())), strict=True):
        found[name][P_VALUE] = p
    if known and len(known) == len(scores):
        found[MEAN] = _bounds(list(known.values()))
        if (p := _against_bm25(list(known.values()))) is not None:
            found[MEAN][P_VALUE] = p
    return found


def _bounds(sets: Sequence[Mapping[str, np.ndarray]]) -> dict[str, float]:
    low, high = interval([systems[MODEL] for systems in sets])
    return {LOW: low, HIGH: high}


def _against_bm25(sets: Sequence[Mapping[str, np.ndarray]]) -> float | None:
    """p of the model against the BM25 with the better mean over ``sets``; None if no BM25 was run on all of them."""
    shared = [name for name in BASELINES if all(name in systems for systems in sets)]
    if not shared:
        return None
    best = max(shared, key=lambda name: _mean([systems[name] for systems in sets]))
    return p_value([systems[MODEL] - systems[best] for systems in sets])


def _mean(sets: Sets) -> float:
    return float(np.mean([values.mean() for values in sets]))


def _chunks(width: int) -> Iterator[slice]:
    """The resamples, as many at a time as `DRAWS` allows for ``width`` queries."""
    step = max(1, DRAWS // width)
    return (slice(start, min(start + step, RESAMPLES)) for start in range(0, RESAMPLES, step))
