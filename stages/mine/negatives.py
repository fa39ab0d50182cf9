"""Finds hard negatives for rows of a set among their own texts, with sentence-transformers' mine_hard_negatives."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from datasets import Dataset
from sentence_transformers.util import mine_hard_negatives

MAX_SCORES = 50_000_000  # in one query × document matrix in memory: 200 MB


@dataclass(frozen=True)
class Rules:
    """How many negatives a row gets, and which of the ranked texts qualify.

    Attributes:
        negatives: per row, at most.
        relative_margin: texts that score above (1 - margin) times the row's positive are left out, as they may be answers.
        range_min, range_max: ranks considered; the best is 0.
    """

    negatives: int
    relative_margin: float
    range_min: int
    range_max: int


def candidates(
    anchors: Sequence[str], positives: Sequence[str], corpus: Sequence[str], model: Any, rules: Rules, spare: int, cross_encoder: Any = None
) -> list[list[str]]:
    """The negatives of each row, hardest first: texts of ``corpus`` or ``positives`` that are not positives of the row's anchor.

    Args:
        model: a SentenceTransformer, or a `vectors.RowNumbers`.
        spare: texts per row beyond ``rules.negatives``, for a caller that rejects some.
        cross_encoder: its scores decide the margin in place of the model's.
    """
    wanted = min(rules.negatives + spare, rules.range_max - rules.range_min)
    texts = list(dict.fromkeys([*positives, *corpus]))
    mined = mine_hard_negatives(
        Dataset.from_dict({"anchor": list(anchors), "positive": list(positives)}),
        model,
        corpus=texts,
        cross_encoder=cross_encoder,
        range_min=rules.range_min,
        range_max=rules.range_max,
        relative_margin=rules.relative_margin,
        num_negatives=wanted,
        sampling_strategy="top",
        output_format="triplet",
        faiss_batch_size=max(1, MAX_SCORES // len(texts)),
        verbose=False,
    )
    found: dict[tuple[str, str], list[str]] = {}
    columns = mined[:]
    for anchor, positive, negative in zip(columns["anchor"], columns["positive"], columns["negative"], strict=True):
        found.setdefault((anchor, positive), []).append(negative)
    return [found.get(row, []) for row in zip(anchors, positives, strict=True)]
