"""The SPLADE head and its pooling as one operation, over real tokens only.

Stock keeps two tensors of logits (batch × length × vocabulary) and takes the largest of each text and term after relu and log1p. Both are
monotone, so taking the maximum first gives the same values and gradients, and the logits never exist as a whole (`max_pooled_linear`).
Head and pooling of 32 texts of 64 to 256 tokens and 50,000 terms take 2.9 s and 0.34 GB instead of 15.5 s and 7.9 GB on two CPU cores,
4.3 ms and 0.32 GB instead of 13.7 ms and 7.9 GB on an H100.
"""

from typing import Any

import torch
from sentence_transformers.sparse_encoder.modules import SpladePooling
from torch import Tensor

from stages.encoders.fast.head import Unsuitable
from stages.encoders.fast.max_pooled_linear import Maxima, max_pooled_linear


class FastPooling(SpladePooling):
    """SpladePooling by maximum that applies ``features["head"]`` itself; without a head it is stock.

    Attributes:
        maxima: see `max_pooled_linear`.
    """

    maxima: Maxima | None = None

    @torch.compiler.disable  # lengths are Python numbers: every batch would be recompiled
    def forward(self, features: dict[str, Any]) -> dict[str, Any]:
        """As SpladePooling: ``sentence_embedding`` of shape (batch, vocabulary); float32 under autocast, as stock on CUDA."""
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
    """Hidden states without padding, shape (tokens, hidden), one text after the other, and the number of tokens of each text."""
    hidden: Tensor = features["token_embeddings"]
    if "cu_seq_lens_q" in features:  # flash attention's layout, (1, tokens, hidden), has no padding
        if skips:
            raise Unsuitable("its head skips positions, which the layout without padding does not support")
        return hidden.squeeze(0), features["cu_seq_lens_q"].diff().tolist()
    mask = features["attention_mask"].bool()
    if skips:
        mask = mask & (torch.arange(mask.shape[1], device=mask.device) >= skips)
    lengths: list[int] = mask.sum(1).tolist()
    tokens = hidden.flatten(0, 1)
    if sum(lengths) < len(tokens):
        tokens = tokens.index_select(0, mask.flatten().nonzero().view(-1))
    return tokens, lengths
