"""SPLADE's head and pooling as one operation.

Stock makes logits of every token for every term (batch × length × vocabulary), twice, to keep the largest of each text
and term. Here the head's linear map is applied and its maxima taken in one go, over real tokens only. log1p and relu are monotone,
so taking the maximum first gives the same values and gradients.
"""

from typing import Any

import torch
from sentence_transformers.sparse_encoder.modules import SpladePooling
from torch import Tensor

from stages.encoders.fast.head import Unsuitable
from stages.encoders.fast.max_pooled_linear import Maxima, max_pooled_linear


class FastPooling(SpladePooling):
    """Max SpladePooling that applies ``features["head"]`` itself; without one it is stock.

    Attributes:
        maxima: as `max_pooled_linear`.
    """

    maxima: Maxima | None = None

    @torch.compiler.disable  # lengths are Python numbers: every batch would be compiled anew
    def forward(self, features: dict[str, Any]) -> dict[str, Any]:
        """As SpladePooling: (batch, vocabulary) ``sentence_embedding``; float32 under autocast, as stock on CUDA."""
        head = features.pop("head", None)
        if head is None:
            return super().forward(features)
        weight, bias = head.parameters()
        tokens, lengths = _real_tokens(features, head.skips)
        device = tokens.device.type
        autocast = torch.is_autocast_enabled(device) and tokens.dtype != torch.float64
        if autocast:
            tokens = tokens.to(torch.get_autocast_dtype(device))
        pooled = max_pooled_linear(tokens, weight, lengths, self.maxima)
        if autocast:
            pooled = pooled.float()
        if bias is not None:
            pooled = pooled + bias
        pooled = pooled.relu().log1p()
        if self.activation_function == "log1p_relu":
            pooled = pooled.log1p()
        if self.embedding_dimension is None:
            self.embedding_dimension = pooled.shape[1]
        features["sentence_embedding"] = pooled
        return features


def _real_tokens(features: dict[str, Any], skips: int) -> tuple[Tensor, list[int]]:
    """Hidden states without padding, (tokens, hidden), text after text, and the number of each text."""
    hidden: Tensor = features["token_embeddings"]
    if "cu_seq_lens_q" in features:  # flash attention's layout, (1, tokens, hidden), has no padding
        if skips:
            raise Unsuitable("its head skips positions, which the unpadded layout does not allow")
        return hidden.squeeze(0), features["cu_seq_lens_q"].diff().tolist()
    mask = features["attention_mask"].bool()
    if skips:
        mask = mask & (torch.arange(mask.shape[1], device=mask.device) >= skips)
    lengths: list[int] = mask.sum(1).tolist()
    tokens = hidden.flatten(0, 1)
    if sum(lengths) < len(tokens):
        tokens = tokens.index_select(0, mask.flatten().nonzero().view(-1))
    return tokens, lengths
