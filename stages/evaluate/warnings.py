"""What the scores warn of: a model below BM25, or below what it was before training."""

from collections.abc import Mapping
from typing import Any

from stages.retrieval.scores import NDCG

UNTRAINED_NDCG = "untrained_ndcg@10"
"""Of the smallest set only: what the model scored there before its first step."""


def warnings(evaluation: Mapping[str, Any], bm25: str, mean: str) -> list[str]:
    """One line for each warning, after an empty one; none if there is nothing to warn of.

    Args:
        evaluation: `summary`'s value. bm25, mean: its keys of BM25's nDCG@10 and of the mean over sets.
    """
    sets = {name: row for name, row in evaluation.items() if isinstance(row, Mapping) and name != mean}
    lines = [
        f"warning: training made the model worse: nDCG@10 on {name} was {row[UNTRAINED_NDCG]:.4f} before its first step and is "
        f"{row[NDCG]:.4f}; lower training.learning_rate or the weights under loss"
        for name, row in sets.items()
        if row[NDCG] < row.get(UNTRAINED_NDCG, 0.0)
    ]
    below = [name for name, row in sets.items() if row[NDCG] < row[bm25]]
    if evaluation[mean][NDCG] < evaluation[mean][bm25]:
        scores = f"nDCG@10 {evaluation[mean][NDCG]:.4f} against {evaluation[mean][bm25]:.4f} on average"
        lines.append(f"warning: the model is below BM25: {scores}, and on {len(below)} of {len(sets)} sets ({', '.join(below)})")
    elif below:
        lines.append(f"warning: the model is below BM25 on {len(below)} of {len(sets)} sets ({', '.join(below)})")
    return ["", *lines] if lines else []
