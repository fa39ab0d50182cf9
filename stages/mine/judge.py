"""Several teachers' scores as one, and the candidates that are no negatives by them.

Each teacher's scores are put on one scale (`stages.rows.score_scale`); then their weighted mean is taken.
"""

from collections.abc import Sequence

import numpy as np

from stages.mine.lexical import Lexical
from stages.mine.teacher import Score
from stages.rows.score_scale import centred, deviation


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
        scores = [centred(values, owners) for values in found]
        self._deviations = self._deviations or [deviation([values]) for values in scores]
        weights = np.array([weight for _, weight in self._teachers])
        scaled = [values / scale for values, scale in zip(scores, self._deviations, strict=True)]
        combined = weights / weights.sum() @ np.stack(scaled)
        return np.split(combined, np.cumsum(lengths)[:-1])


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
