"""Scores rows with a cross-encoder, for a sparse encoder to learn from."""

from collections.abc import Callable, Sequence
from typing import TypeAlias

import torch
from sentence_transformers import CrossEncoder

Teacher: TypeAlias = Callable[[Sequence[str], Sequence[Sequence[str]]], list[list[float]]]
"""Queries, and for each the texts of its row → the score of each of these texts."""


def scorer(model: CrossEncoder, batch_size: int = 32) -> Teacher:
    """The raw scores (logits) of a cross-encoder with one output: their differences are distilled, and a sigmoid would shrink them."""

    def score(anchors: Sequence[str], texts: Sequence[Sequence[str]]) -> list[list[float]]:
        pairs = [(anchor, text) for anchor, row in zip(anchors, texts, strict=True) for text in row]
        values = iter(model.predict(pairs, batch_size=batch_size, activation_fn=torch.nn.Identity(), show_progress_bar=False).tolist())
        return [[next(values) for _ in row] for row in texts]

    return score
