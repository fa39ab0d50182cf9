"""NorBERT 3 for transformers 5: the one file that nordic-sparse adds to this model's folder.

The other code files are the model's own, unchanged; this one changes what they do in this process:

- `post_init` is called, and the tied embeddings are declared as transformers 5 expects.
- The first 107 logits are 0 instead of −inf: SPLADE multiplies by the attention mask, and −inf · 0 is NaN.
- Activation checkpointing follows the caller's setting, non-reentrant by default.
- The table of relative positions is computed if the weights lack it.
"""

import sys
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedModel
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.modeling_outputs import MaskedLMOutput

from .modeling_norbert import NorbertForMaskedLM, NorbertModel

NEVER_PREDICTED = 107  # terms at the start of the vocabulary that the model never predicts
_code: Any = sys.modules[NorbertModel.__module__]
_Layer: Any = getattr(_code.EncoderLayer, "own", _code.EncoderLayer)  # unwrapped: transformers may execute this file twice


class CheckpointedLayer(GradientCheckpointingLayer, _Layer):
    """A layer that recomputes its activations if activation checkpointing is on."""

    own = _Layer


_code.EncoderLayer = CheckpointedLayer


class Repaired(NorbertModel):
    """What both models below have in common."""

    _keys_to_ignore_on_load_missing = [r"position_indices$"]  # noqa: RUF012
    _set_gradient_checkpointing = PreTrainedModel._set_gradient_checkpointing

    def __init__(self, config: Any, *args: Any, **kwargs: Any) -> None:
        config.tie_word_embeddings = True  # the model's own __init__ ties them whatever its config.json says
        super().__init__(config, *args, **kwargs)
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        table = module._buffers.get("position_indices")
        if table is not None and not table.is_meta:
            with torch.device("cpu"):
                made: Any = type(module)(self.config)
            table.copy_(made.position_indices)


class RepairedNorbertModel(Repaired):
    """The encoder alone."""


class RepairedNorbertForMaskedLM(Repaired, NorbertForMaskedLM):
    """The masked language model.

    Attributes:
        head_skips: number of rows at the start of a text that are all zero.
    """

    _tied_weights_keys = {"classifier.nonlinearity.5.weight": "embedding.word_embedding.weight"}  # noqa: RUF012
    head_skips = 0

    def get_output_embeddings(self) -> nn.Linear:
        head: nn.Linear = self.classifier.nonlinearity[-1]
        return head

    def set_output_embeddings(self, new_embeddings: nn.Module) -> None:
        self.classifier.nonlinearity[-1] = new_embeddings

    def head_parameters(self) -> tuple[Tensor, Tensor]:
        """Weight (vocabulary, hidden) and bias (vocabulary,) of the last linear map; a bias of −inf masks a term."""
        head = self.get_output_embeddings()
        return head.weight, F.pad(head.bias[NEVER_PREDICTED:], (NEVER_PREDICTED, 0), value=float("-inf"))

    def forward(self, input_ids: Tensor | None = None, attention_mask: Tensor | None = None, **kwargs: Any) -> MaskedLMOutput:
        """Logits of shape (batch, length, vocabulary); the model's other outputs are not supported."""
        logits = self.classifier(self.get_contextualized_embeddings(input_ids, attention_mask)[0])
        return MaskedLMOutput(logits=F.pad(logits[..., NEVER_PREDICTED:], (NEVER_PREDICTED, 0)))
