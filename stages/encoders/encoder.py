"""What an architecture is: how its model is built on a base, and its loss. `splade`, `inference_free` and `csr` are the three.

Each module has a ``build`` (`Build`) and a ``make_loss`` (`MakeLoss`), told by the sections ``model`` and ``loss`` of resolved/train.yaml.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import torch
    from sentence_transformers import SparseEncoder

    from stages.config.schema import Loss
    from stages.config.settings import ResolvedModel

Texts = Iterable[str]


class Build(Protocol):
    """Base model folder, training documents and queries (each read at most once) → model to train, on ``device``, if it is given."""

    def __call__(
        self, base: Path, settings: "ResolvedModel", documents: Texts, queries: Texts = (), device: str | None = None
    ) -> "SparseEncoder": ...


class MakeLoss(Protocol):
    """Model → loss over the columns anchor, positive, negative…; ``mini_batch_size``: of GradCache, not for csr."""

    def __call__(self, model: "SparseEncoder", settings: "Loss", mini_batch_size: int | None = None) -> "torch.nn.Module": ...


@dataclass(frozen=True)
class Encoder:
    """One architecture.

    Attributes:
        routed: whether queries take another way through the model than documents.
        query_parameters: regular expression of the parameters that have a learning rate of their own, or None.
    """

    build: Build
    make_loss: MakeLoss
    routed: bool
    query_parameters: str | None


def loading(settings: "ResolvedModel") -> dict[str, str]:
    """Arguments of transformers' ``from_pretrained``: float32, whatever the files hold, since mixed precision needs it; the attention.

    Flash attention takes no float32: only the steps of a training have it.
    """
    attention = settings.attn_implementation
    return {"dtype": "float32"} | ({} if attention in (None, "flash_attention_2") else {"attn_implementation": attention})
