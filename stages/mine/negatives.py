"""Hard negatives for rows of a set, from the texts of those rows, by sentence-transformers' mine_hard_negatives."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from datasets import Dataset
from sentence_transformers.util import mine_hard_negatives

MAX_SCORES = 50_000_000  # of one query × document matrix in memory: 200 MB


@dataclass(frozen=True)
class Rules:
    """What makes a negative: how many a row, and which of the ranked texts.

    Attributes:
        negatives: found for a row, at most.
        relative_margin: a text is left out that scores above (1 - margin) of the row's positive: it may well be an answer.
        range_min, range_max: ranks looked at, the best being 0.
    """

    negatives: int
    relative_margin: float
    range_min: int
    range_max: int


def candidates(
    anchors: Sequence[str], positives: Sequence[str], corpus: Sequence[str], model: Any, rules: Rules, spare: int, cross_encoder: Any = None
) -> list[list[str]]:
    """The negatives of each row, hardest first: texts of ``corpus`` or ``positives`` that no row gives its anchor as a positive.

    Args:
        model: a SentenceTransformer, or a `vectors.RowNumbers`.
        spare: texts a row wanted beyond ``rules.negatives``, for a caller who will refuse some.
        cross_encoder: judges the margin in place of the model.
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
