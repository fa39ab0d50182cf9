"""Finds hard negatives for rows of a set among their own texts, with sentence-transformers' mine_hard_negatives."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from datasets import Dataset
from sentence_transformers.util import mine_hard_negatives

MAX_SCORES = 50_000_000  # in one query × document matrix in memory: 200 MB


@dataclass(frozen=True)
class Rules:
    """How many negatives a row gets, and which of the ranked texts qualify.

    Attributes:
        negatives: per row, at most.
        relative_margin: texts that score above (1 - margin) times the row's positive are left out, as they may be answers; for a judge see
            `judge.negatives`.
        range_min, range_max: ranks considered; the best is 0.
    """

    negatives: int
    relative_margin: float
    range_min: int
    range_max: int


def candidates(
    anchors: Sequence[str], positives: Sequence[str], corpus: Sequence[str], model: Any, rules: Rules, wanted: int, judged: bool = False
) -> list[list[str]]:
    """The negatives of each row, hardest first: texts of ``corpus`` or ``positives`` that are not positives of the row's anchor.

    Args:
        model: a SentenceTransformer, or a `vectors.RowNumbers`.
        wanted: texts per row, at most.
        judged: the caller applies the margin, by other scores.
    """
    texts = list(dict.fromkeys([*positives, *corpus]))
    mined = mine_hard_negatives(
        Dataset.from_dict({"anchor": list(anchors), "positive": list(positives)}),
        model,
        corpus=texts,
        range_min=rules.range_min,
        range_max=rules.range_max,
        relative_margin=None if judged else rules.relative_margin,
        num_negatives=min(wanted, rules.range_max - rules.range_min),
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


def in_turn(lists: Sequence[Sequence[str]]) -> list[str]:
    """The items of several lists, first the first of each; none twice.

    >>> in_turn([["a", "b", "c"], ["b", "d"]])
    ['a', 'b', 'd', 'c']
    """
    return list(dict.fromkeys(item for items in zip_longest(*lists) for item in items if item is not None))
