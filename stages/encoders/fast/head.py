"""The last linear map of a masked language model, by family: its parameters, and how its input is taken.

BERT, RoBERTa, XLM-R, DistilBERT, ModernBERT, ELECTRA and DeBERTa-v2 (``legacy``) end in an ``nn.Linear``; DeBERTa-v2's
new head multiplies with the input embeddings; NorBERT's own heads speak for themselves (`HeadProvider`).

The map stands inside transformers' model, whose ``forward`` no subclass of ours can cut short for every family. So a hook takes
the map's input and lets the map go on with no token at all.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol, runtime_checkable

from sentence_transformers.base.modules import Transformer
from torch import Tensor, nn
from torch.nn.functional import pad
from transformers import PreTrainedModel
from transformers.models.deberta_v2.modeling_deberta_v2 import DebertaV2LMPredictionHead


class Unsuitable(ValueError):
    """This head cannot be fused with its pooling; the message says why."""


class Head:
    """A last linear map that is a module of its own: an nn.Linear unless a subclass says otherwise.

    Attributes:
        skips: leading positions of a padded text whose logits are never positive, so that no maximum needs them.
    """

    skips = 0

    def __init__(self, module: Any) -> None:
        self.module, self._input = module, None

    def parameters(self) -> tuple[Tensor, Tensor | None]:
        """Weight (vocabulary, hidden) and bias (vocabulary,), for autograd; −inf as bias masks a term."""
        return self.module.weight, self.module.bias

    @contextmanager
    def taking_input(self) -> Iterator[None]:
        """While it lasts, the map gets no token; its input is kept for `input`."""
        with self.module.register_forward_pre_hook(self._take):
            yield

    def input(self, length: int) -> Tensor:
        """What the map was to be applied to, (batch, length, hidden), position by position; given once."""
        taken, self._input = self._input, None
        assert taken is not None, "the model has not used its head"
        return pad(taken[:, : length - self.skips], (0, 0, self.skips, 0)) if self.skips else taken

    def _take(self, module: nn.Module, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        self._input = arguments[0]
        return arguments[0][:, :0], *arguments[1:]


class EmbeddingHead(Head):
    """DeBERTa-v2's new head: a product with the input embeddings, after a layer norm whose output is taken."""

    def __init__(self, module: DebertaV2LMPredictionHead, embeddings: Any) -> None:
        super().__init__(module)
        self.embeddings = embeddings

    def parameters(self) -> tuple[Tensor, Tensor | None]:
        return self.embeddings.weight, self.module.bias

    @contextmanager
    def taking_input(self) -> Iterator[None]:
        with self.module.LayerNorm.register_forward_hook(lambda module, _, normed: self._take(module, (normed,))[0]):
            yield


@runtime_checkable
class HeadProvider(Protocol):
    """What a masked language model with a head of its own kind (NorBERT) offers; its code needs nothing of ours for it.

    Attributes:
        head_skips: as `Head.skips`; 1 where logits are shifted by one position and the first are all zero.
    """

    head_skips: int

    def head_parameters(self) -> tuple[Tensor, Tensor | None]:
        """As `Head.parameters`."""
        ...

    def get_output_embeddings(self) -> nn.Module:
        """The last linear map."""
        ...


class ProvidedHead(Head):
    """The head of a model that speaks for itself."""

    def __init__(self, model: HeadProvider) -> None:
        super().__init__(model.get_output_embeddings())
        self.model, self.skips = model, model.head_skips

    def parameters(self) -> tuple[Tensor, Tensor | None]:
        return self.model.head_parameters()


def find_head(transformer: Transformer) -> Head:
    """The head of the masked language model in ``transformer``.

    Raises:
        Unsuitable: if none is recognised.
    """
    model = transformer.model
    if not isinstance(model, PreTrainedModel):
        raise Unsuitable(f"its model is a {type(model).__name__}, not one of transformers' PyTorch models")
    if isinstance(model, HeadProvider):
        return ProvidedHead(model)
    for module in model.modules():
        if isinstance(module, DebertaV2LMPredictionHead):
            return EmbeddingHead(module, model.get_input_embeddings())
    output = model.get_output_embeddings()
    if type(output) is nn.Linear:  # a subclass may compute something else
        return Head(output)
    vocabulary = model.config.vocab_size
    linear = [module for module in model.modules() if type(module) is nn.Linear and module.out_features == vocabulary]
    if len(linear) == 1:
        return Head(linear[0])
    raise Unsuitable(f"{type(model).__name__} has no linear map to its {vocabulary} terms that is known here")
