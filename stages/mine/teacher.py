"""A cross-encoder's scores, for a sparse encoder to learn from."""

from collections.abc import Callable, Sequence
from typing import TypeAlias

import torch
from sentence_transformers import CrossEncoder

Teacher: TypeAlias = Callable[[Sequence[str], Sequence[Sequence[str]]], list[list[float]]]
"""Gives, for queries and for each the texts of its row, the score of each of those texts."""


def scorer(model: CrossEncoder, batch_size: int = 32) -> Teacher:
    """The raw scores (logits) of a cross-encoder with one output: differences between them mean something, those of a sigmoid's little."""

    def score(anchors: Sequence[str], texts: Sequence[Sequence[str]]) -> list[list[float]]:
        pairs = [(anchor, text) for anchor, row in zip(anchors, texts, strict=True) for text in row]
        values = iter(model.predict(pairs, batch_size=batch_size, activation_fn=torch.nn.Identity(), show_progress_bar=False).tolist())
        return [[next(values) for _ in row] for row in texts]

    return score
