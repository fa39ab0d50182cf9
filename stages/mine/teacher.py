"""A cross-encoder's scores, for a sparse encoder to learn from."""

from collections.abc import Sequence
from typing import Protocol

import torch
from sentence_transformers import CrossEncoder


class Teacher(Protocol):
    """Scores texts for a query."""

    def __call__(self, anchors: Sequence[str], texts: Sequence[Sequence[str]]) -> list[list[float]]:
        """The score of each of a row's texts, in their order, row by row."""


def scorer(model: CrossEncoder, batch_size: int = 32) -> Teacher:
    """The raw scores (logits) of a cross-encoder with one output: differences between them mean something, those of a sigmoid's little."""

    def score(anchors: Sequence[str], texts: Sequence[Sequence[str]]) -> list[list[float]]:
        pairs = [(anchor, text) for anchor, row in zip(anchors, texts, strict=True) for text in row]
        values = iter(model.predict(pairs, batch_size=batch_size, activation_fn=torch.nn.Identity(), show_progress_bar=False).tolist())
        return [[next(values) for _ in row] for row in texts]

    return score
