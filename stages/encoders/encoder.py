"""The interface of an architecture: `Build` makes its model on a base model, `MakeLoss` makes its loss.

Their settings are the sections ``model`` and ``loss`` of resolved/train.yaml. To add an architecture, write a module with an `Encoder`, and
add its name to ``ENCODERS`` in `building` and to ``Architecture`` in stages/config/schema.py.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from sentence_transformers import SparseEncoder

from stages.config.schema import Loss
from stages.config.settings import ResolvedModel
from stages.encoders.attention import FLASH

Texts = Iterable[str]


class Build(Protocol):
    """Build the model to train on the base model in a folder; the training documents and queries are read at most once each."""

    def __call__(
        self, base: Path, settings: ResolvedModel, documents: Texts, queries: Texts = (), device: str | None = None
    ) -> SparseEncoder: ...


class MakeLoss(Protocol):
    """Make the loss over the columns anchor, positive, negative, …; ``mini_batch_size`` turns GradCache on, except for csr."""

    def __call__(self, model: SparseEncoder, settings: Loss, mini_batch_size: int | None = None) -> torch.nn.Module: ...


@dataclass(frozen=True)
class Encoder:
    """One architecture.

    Attributes:
        routed: whether queries and documents go through different modules.
        query_parameters: regular expression for the parameters trained at ``query_learning_rate``, or None.
    """

    build: Build
    make_loss: MakeLoss
    routed: bool
    query_parameters: str | None


def loading_arguments(settings: ResolvedModel) -> dict[str, str]:
    """Arguments for transformers' ``from_pretrained``: the attention, and float32 whatever the files hold: mixed precision needs it.

    Flash attention is left out: it does not support float32, see `attention`.
    """
    attention = settings.attn_implementation
    return {"dtype": "float32"} | ({} if attention in (None, FLASH) else {"attn_implementation": attention})
