"""The scores of a run as the page shows them: systems side by side, the difference to the better BM25 and its mark."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any, TypeGuard

from stages.evaluate.significance import BASELINES, DOWN, HIGH, LEVEL, LOW, MEAN, P_VALUE, UP
from stages.retrieval.scores import MODEL, metric_of

SYSTEMS = {
    "model": "model",
    "bm25": "BM25",
    "bm25_stemmed": "stemmed BM25",
    "dense": "dense",
    "hybrid_sparse_dense": "model + dense",
    "hybrid_bm25_dense": "stemmed BM25 + dense",
    "hybrid_sparse_bm25": "model + stemmed BM25",
    "compare": "compare_model",
}
"""Every system and what the page calls it, in the order of its colours."""
COSTS = {
    "query_active_dims": ("query dims", ".1f"),
    "corpus_active_dims": ("document dims", ".1f"),
    "flops": ("FLOPS", ".2f"),
    "query_postings_mean": ("postings a query, mean", ",.0f"),
    "query_postings_p95": ("postings, 95th percentile", ",.0f"),
    "index_bytes_float32": ("bytes a document, float32", ",.0f"),
    "index_bytes_uint8": ("8 bits", ",.0f"),
    "documents_cut": ("documents cut", ".1%"),
    "tokens_lost": ("tokens lost", ".1%"),
}
OTHERS = {
    "mrr@10": ("MRR@10", ".4f"),
    "recall@100": ("recall@100", ".4f"),
    "untrained_ndcg@10": ("nDCG@10 before training", ".4f"),
    "base_ndcg@10": ("nDCG@10 of its dense base", ".4f"),
    "dead_latents": ("dead latents", ".1%"),
}
"""Metrics of the model in tables: what the page calls each, and its format."""


@dataclass(frozen=True)
class Row:
    """One set (or the mean over sets).

    Attributes:
        systems: nDCG@10 of each system that was scored.
        baseline: the better BM25.
        p_value: of the paired test between the model and the baseline.
    """

    name: str
    metrics: Mapping[str, float]
    systems: Mapping[str, float]
    baseline: str
    p_value: float | None
    interval: tuple[float, float] | None

    @property
    def difference(self) -> float:
        return self.systems[MODEL] - self.systems[self.baseline]

    @property
    def mark(self) -> tuple[str, str]:
        """A sign and what it says: whether the difference is significant."""
        if self.p_value is None:
            return "", ""
        if self.p_value >= LEVEL:
            return "○", "not significant"
        return (UP, "significantly better") if self.difference > 0 else (DOWN, "significantly worse")


def rows(evaluation: Mapping[str, Any]) -> list[Row]:
    """A row for each set of metrics/evaluation.json, the mean last if there are several sets."""
    sets = {name: values for name, values in evaluation.items() if isinstance(values, Mapping) and name != MEAN}
    named = sets | ({MEAN: evaluation[MEAN]} if len(sets) > 1 and MEAN in evaluation else {})
    return [row(name, values) for name, values in named.items()]


def row(name: str, metrics: Mapping[str, float]) -> Row:
    """The scores of one set, or of a slice of the queries."""
    found = {system: metrics.get(metric_of(system)) for system in SYSTEMS}
    systems = {system: value for system, value in found.items() if _number(value)}
    baseline = max((system for system in BASELINES if system in systems), key=lambda system: systems[system], default=MODEL)
    low, high = metrics.get(LOW), metrics.get(HIGH)
    interval = (float(low), float(high)) if _number(low) and _number(high) else None
    p_value = metrics.get(P_VALUE)
    return Row(name, metrics, systems, baseline, p_value if _number(p_value) else None, interval)


def verdict(mean: Row) -> str:
    """The run as one line: the model's score and its distance to the better BM25."""
    score = f"nDCG@10 {mean.systems[MODEL]:.3f}"
    if mean.baseline == MODEL:
        return score
    side = "above" if mean.difference > 0 else "below"
    name = SYSTEMS[mean.baseline]
    return f"{score}, {abs(mean.difference):.3f} {side} {name}" if round(mean.difference, 3) else f"{score}, equal to {name}"


def significance(sets: Sequence[Row]) -> str:
    """On how many sets the model is significantly better and worse, in words."""
    tested = [row for row in sets if row.p_value is not None]
    if not tested:
        return "not tested"
    count = {sign: sum(row.mark[0] == sign for row in tested) for sign in (UP, DOWN)}
    of = f"of {len(tested)} sets" if len(tested) > 1 else "the set"
    parts = [
        f"{word} on {f'{number} ' if len(tested) > 1 else ''}{of}"
        for word, number in (("better", count[UP]), ("worse", count[DOWN]))
        if number
    ]
    return f"significantly {', '.join(parts)}" if parts else "not significant"


def _number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and isfinite(value)
