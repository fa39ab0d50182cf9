"""NorBERT 4 for transformers 5, with logits that can be negative: the one file that nordic-sparse adds to this model's folder.

The other code files are the model's own, unchanged; this one changes what they do in this process:

- The rotary tables are not buffers: transformers 5 leaves buffers that are missing from the weights uninitialised.
- Logits are the output of the last linear map. The model bounds them to (0, 30) by 30·sigmoid(x / 7.5), so that SPLADE's relu
  never gives a zero. Row i still comes from hidden state i − 1; row 0 is all zero instead of a one-hot for BOS.
- Activation checkpointing follows the caller's setting, non-reentrant by default.
- The tied weights are declared as transformers 5 expects, and `is_decoder` has a value.
- FlashAttention is not used: its rotary frequencies are such buffers too.
"""

import sys
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.modeling_outputs import MaskedLMOutput

from .modeling_gptbert import GptBertForMaskedLM, GptBertModel

_code: Any = sys.modules[GptBertModel.__module__]
_Layer: Any = getattr(_code.Layer, "own", _code.Layer)  # unwrapped: transformers may execute this file twice
_Rotary: Any = getattr(_code.RotaryPositionalEmbeddings, "own", _code.RotaryPositionalEmbeddings)


class RotaryTables(nn.Module):
    """The model's rotary embedding, created on CPU at its first use and kept outside parameters and buffers."""

    own = _Rotary

    def __init__(self, config: Any, theta: float) -> None:
        super().__init__()
        self.config, self.theta = config, theta
        self._made: dict[torch.device, Any] = {}

    def forward(self, x: Tensor) -> Tensor:
        if x.device not in self._made:
            # Tensors created in inference mode (by encode) could not be used in training.
            with torch.inference_mode(False), torch.device("cpu"):
                self._made = {x.device: _Rotary(self.config, self.theta).to(x.device)}
        turned: Tensor = self._made[x.device](x)
        return turned


class CheckpointedLayer(GradientCheckpointingLayer, _Layer):
    """A layer that recomputes its activations if activation checkpointing is on."""

    own = _Layer


_code.RotaryPositionalEmbeddings = RotaryTables
_code.Layer = CheckpointedLayer
_code.flash_attn_varlen_qkvpacked_func = None


class Repaired(GptBertModel):
    """What both models below have in common."""

    gradient_checkpointing = property(lambda self: False, lambda self, on: None)  # done by the layers, not by the encoder's loop

    def __init__(self, config: Any, *args: Any, **kwargs: Any) -> None:
        if not hasattr(config, "is_decoder"):
            config.is_decoder = False
        super().__init__(config, *args, **kwargs)


class RepairedGptBertModel(Repaired):
    """The encoder alone."""


class RepairedGptBertForMaskedLM(Repaired, GptBertForMaskedLM):
    """The masked language model.

    Attributes:
        head_skips: number of rows at the start of a text that are all zero.
    """

    _tied_weights_keys = {"classifier.emb2vocab.weight": "embedding.word_embedding.weight"}  # noqa: RUF012
    head_skips = 1

    def get_output_embeddings(self) -> nn.Module:
        head: nn.Module = self.classifier.emb2vocab
        return head

    def set_output_embeddings(self, new_embeddings: nn.Module) -> None:
        self.classifier.emb2vocab = new_embeddings

    def head_parameters(self) -> tuple[Tensor, Tensor]:
        """Weight (vocabulary, hidden) and bias (vocabulary,) of the last linear map."""
        head = self.classifier.emb2vocab
        return head.weight * (head.scale + 1.0), head.bias

    def forward(self, input_ids: Tensor | None = None, attention_mask: Tensor | None = None, **kwargs: Any) -> MaskedLMOutput:
        """Logits of shape (batch, length, vocabulary); the model's other outputs are not supported."""
        hidden = self.get_contextualized_embeddings(input_ids, attention_mask)[0]
        return MaskedLMOutput(logits=F.pad(self.classifier(hidden[:, :-1]), (0, 0, 1, 0)))
