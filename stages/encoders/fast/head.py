"""Find the last linear map of a masked language model, its weight and bias, and capture its input instead of computing logits.

BERT, RoBERTa, XLM-R, DistilBERT, ModernBERT, ELECTRA and DeBERTa-v2 (``legacy``) end in an ``nn.Linear``; DeBERTa-v2's
new head multiplies by the input embeddings; NorBERT's models describe their own heads (`HeadProvider`).

The map is inside transformers' model, and no subclass of ours could end ``forward`` before it in every family. So a hook
keeps the map's input and passes on a tensor without tokens, for which the map costs nothing.
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
    """The head cannot be fused with its pooling; the message says why."""


class Head:
    """A last linear map that is an nn.Linear; subclasses handle other kinds.

    Attributes:
        skips: number of leading positions of a padded text whose logits are never positive, so that no maximum needs them.
    """

    skips = 0

    def __init__(self, module: Any) -> None:
        self.module, self._input = module, None

    def parameters(self) -> tuple[Tensor, Tensor | None]:
        """Weight (vocabulary, hidden) and bias (vocabulary,), for autograd; −inf as bias masks a term."""
        return self.module.weight, self.module.bias

    @contextmanager
    def taking_input(self) -> Iterator[None]:
        """Within the context the map gets no tokens; what it would have got is kept for `input`."""
        with self.module.register_forward_pre_hook(self._take):
            yield

    def input(self, length: int) -> Tensor:
        """The captured input of the map, shape (batch, length, hidden); row i is the input for the logits of position i. Clears it."""
        taken, self._input = self._input, None
        assert taken is not None, "the model did not use its head"
        return pad(taken[:, : length - self.skips], (0, 0, self.skips, 0)) if self.skips else taken

    def _take(self, module: nn.Module, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        self._input = arguments[0]
        return arguments[0][:, :0], *arguments[1:]


class EmbeddingHead(Head):
    """DeBERTa-v2's new head: a product with the input embeddings; the output of the layer norm before it is captured."""

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
    """Interface of a masked language model that describes its own head (NorBERT); its code imports nothing from here.

    Attributes:
        head_skips: see `Head.skips`; 1 if logits are shifted by one position and the first row is zero.
    """

    head_skips: int

    def head_parameters(self) -> tuple[Tensor, Tensor | None]:
        """See `Head.parameters`."""
        ...

    def get_output_embeddings(self) -> nn.Module:
        """The last linear map."""
        ...


class ProvidedHead(Head):
    """The head of a `HeadProvider`."""

    def __init__(self, model: HeadProvider) -> None:
        super().__init__(model.get_output_embeddings())
        self.model, self.skips = model, model.head_skips

    def parameters(self) -> tuple[Tensor, Tensor | None]:
        return self.model.head_parameters()


def find_head(transformer: Transformer) -> Head:
    """The head of the masked language model in ``transformer``.

    Raises:
        Unsuitable: no head is recognised.
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
    if type(output) is nn.Linear:  # not isinstance: a subclass may compute something else
        return Head(output)
    vocabulary = model.config.vocab_size
    linear = [module for module in model.modules() if type(module) is nn.Linear and module.out_features == vocabulary]
    if len(linear) == 1:
        return Head(linear[0])
    raise Unsuitable(f"{type(model).__name__} has no recognised linear map to its {vocabulary} terms")
