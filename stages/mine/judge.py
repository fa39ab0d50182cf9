"""Several teachers' scores as one, and the candidates that are no negatives by them.

Teachers differ in scale: cosines of e5 lie within 0.1, logits of a cross-encoder within 20. So each teacher's scores are counted from
their mean over the row's texts and divided by their standard deviation within rows, one number per teacher and set; then their weighted
mean is taken. Scaling each row by itself, to 0…1 (Geng et al. 2024, arXiv 2411.04403), would lose whether its texts differ much or hardly
at all, and of a row with one negative everything.
"""

from collections.abc import Sequence

import numpy as np

from stages.mine.lexical import Lexical
from stages.mine.teacher import Score

ROUNDING = 1e-6


class Judge:
    """Scores the rows of one set, block by block; the first block determines the standard deviations.

    Args:
        teachers: each with its weight.
    """

    def __init__(self, teachers: Sequence[tuple[Score | Lexical, float]]) -> None:
        self._teachers = teachers
        self._deviations: list[float] = []

    def __call__(
        self, queries: Sequence[str], texts: Sequence[Sequence[str]], languages: Sequence[str | None] | None = None
    ) -> list[np.ndarray]:
        """The scores of each query's texts, shape (texts of the row,); NaN for a text that a teacher has no score for.

        Args:
            languages: of the queries, for BM25; None: unknown.
        """
        pairs = [(query, text) for query, row in zip(queries, texts, strict=True) for text in row]
        if not pairs:
            return [np.zeros(0) for _ in texts]
        lengths = np.array([len(row) for row in texts])
        owners = np.repeat(np.arange(len(texts)), lengths)
        spoken = [languages[row] if languages else None for row in owners.tolist()]
        found = [score(pairs, spoken) if isinstance(score, Lexical) else score(pairs) for score, _ in self._teachers]
        centred = [_centred(scores, owners) for scores in found]
        self._deviations = self._deviations or [_deviation(values) for values in centred]
        weights = np.array([weight for _, weight in self._teachers])
        scaled = [values / deviation for values, deviation in zip(centred, self._deviations, strict=True)]
        combined = weights / weights.sum() @ np.stack(scaled)
        return np.split(combined, np.cumsum(lengths)[:-1])


def _deviation(centred: np.ndarray) -> float:
    """The standard deviation; infinite for a teacher that gives all texts of a row the same score, but for rounding."""
    squares = np.square(centred[np.isfinite(centred)])
    deviation = float(np.sqrt(squares.mean())) if len(squares) else 0.0
    return deviation if deviation > ROUNDING else np.inf


def _centred(scores: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """``scores`` minus their row's mean; whatever is not finite becomes NaN."""
    finite = np.isfinite(scores)
    sums = np.bincount(rows, np.where(finite, scores, 0.0))
    means = sums / np.maximum(np.bincount(rows, finite), 1)
    return np.where(finite, scores, np.nan) - means[rows]


def negatives(scores: np.ndarray, first: int, margin: float) -> list[int]:
    """The places from ``first`` on of a row's texts that are clearly worse than its positive.

    Args:
        scores: of the positive, then of other texts.
        margin: share of the distance between the row's lowest score and its positive's that a negative must stay below the positive. A
            positive that scores lowest itself has no negatives.
    """
    if not np.isfinite(scores[0]):
        return []
    limit = scores[0] - margin * (scores[0] - np.nanmin(scores))
    return [place for place in range(first, len(scores)) if scores[place] < limit]
