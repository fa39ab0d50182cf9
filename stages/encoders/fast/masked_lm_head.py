"""The last linear map of a masked language model, by family: its parameters, and how to have its input passed through.

BERT, RoBERTa, XLM-R, DistilBERT, ModernBERT, ELECTRA and DeBERTa-v2 (``legacy``) end in an ``nn.Linear``; DeBERTa-v2's
new head multiplies with the input embeddings; NorBERT's own heads speak for themselves (`HeadProvider`).
"""

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from sentence_transformers.base.modules import Transformer
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.models.deberta_v2.modeling_deberta_v2 import DebertaV2LMPredictionHead


class Unsuitable(ValueError):
    """This head cannot be fused with its pooling; the message says why."""


class Head(Protocol):
    """The last linear map of a masked language model."""

    @property
    def skips(self) -> int:
        """Leading positions of a padded text whose logits are never positive, so that no maximum needs them."""
        ...

    def parameters(self) -> tuple[Tensor, Tensor | None]:
        """Weight (vocabulary, hidden) and bias (vocabulary,), for autograd; −inf as bias takes a term out."""
        ...

    def pass_through(self, on: bool) -> None:
        """While on, the model's forward returns as ``logits`` what the map would be applied to."""
        ...

    def is_passing(self) -> bool:
        """Whether the input is passed through now."""
        ...


@runtime_checkable
class HeadProvider(Protocol):
    """What a masked language model with a head of its own kind (NorBERT) offers; its code needs nothing of ours for it.

    Attributes:
        head_input_as_logits: False; while True, ``forward`` returns as ``logits`` what the last linear map would be applied to.
        head_skips: as `Head.skips`; 1 where logits are shifted by one position and the first are all zero.
    """

    head_input_as_logits: bool
    head_skips: int

    def head_parameters(self) -> tuple[Tensor, Tensor | None]:
        """As `Head.parameters`."""
        ...


def find_head(transformer: Transformer) -> Head:
    """The head of the masked language model in ``transformer``.

    Raises:
        Unsuitable: if none is recognised.
    """
    model = transformer.model
    if not isinstance(model, PreTrainedModel):
        raise Unsuitable(f"its model is a {type(model).__name__}, not one of transformers' PyTorch models")
    if isinstance(model, HeadProvider):
        return ProvidedHead(model, model.head_skips)
    for module in model.modules():
        if isinstance(module, DebertaV2LMPredictionHead):
            return EmbeddingHead(module, model.get_input_embeddings())
    output = model.get_output_embeddings()
    if type(output) is nn.Linear:  # a subclass may compute something else
        return LinearHead(output)
    vocabulary = model.config.vocab_size
    linear = [module for module in model.modules() if type(module) is nn.Linear and module.out_features == vocabulary]
    if len(linear) == 1:
        return LinearHead(linear[0])
    raise Unsuitable(f"{type(model).__name__} has no linear map to its {vocabulary} terms that is known here")


def _identity(hidden: Tensor) -> Tensor:
    return hidden


@dataclass(frozen=True, eq=False)
class LinearHead:
    """An nn.Linear, its weight most often the input embeddings."""

    linear: nn.Linear
    skips: int = 0

    def parameters(self) -> tuple[Tensor, Tensor | None]:
        return self.linear.weight, self.linear.bias

    def pass_through(self, on: bool) -> None:
        _replace_forward(self.linear, _identity if on else None)

    def is_passing(self) -> bool:
        return "forward" in self.linear.__dict__


@dataclass(frozen=True, eq=False)
class _Transform:
    """DeBERTa-v2's new head up to its matrix product."""

    head: DebertaV2LMPredictionHead

    def __call__(self, hidden: Tensor, word_embeddings: nn.Embedding) -> Tensor:
        transformed: Tensor = self.head.LayerNorm(self.head.transform_act_fn(self.head.dense(hidden)))
        return transformed


@dataclass(frozen=True, eq=False)
class EmbeddingHead:
    """DeBERTa-v2's new head: a product with the input embeddings, which it gets as an argument."""

    module: DebertaV2LMPredictionHead
    embeddings: nn.Module
    skips: int = 0

    def parameters(self) -> tuple[Tensor, Tensor | None]:
        weight: Tensor = self.embeddings.weight  # type: ignore[assignment]
        return weight, self.module.bias

    def pass_through(self, on: bool) -> None:
        _replace_forward(self.module, _Transform(self.module) if on else None)

    def is_passing(self) -> bool:
        return "forward" in self.module.__dict__


@dataclass(frozen=True, eq=False)
class ProvidedHead:
    """A model that speaks for itself."""

    model: HeadProvider
    skips: int

    def parameters(self) -> tuple[Tensor, Tensor | None]:
        return self.model.head_parameters()

    def pass_through(self, on: bool) -> None:
        self.model.head_input_as_logits = on

    def is_passing(self) -> bool:
        return self.model.head_input_as_logits


def _replace_forward(module: nn.Module, forward: Any) -> None:
    """An entry of the instance, found before the class's method and unknown to state_dict; None takes it away."""
    if forward is None:
        module.__dict__.pop("forward", None)
    else:
        module.__dict__["forward"] = forward
