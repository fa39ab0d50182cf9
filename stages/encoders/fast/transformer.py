"""A Transformer that spends little on padding, and hands on the input of its SPLADE head instead of logits.

In training a batch goes through in length buckets, split wherever that saves enough padding; the batch stays as it is, and so do
its loss and gradients, but for rounding and for which values dropout drops. (Batches of similar length, tried before, left more
padding and cost nDCG: long and short texts were seldom contrasted.)
"""

from typing import Any

import torch
from sentence_transformers.base.modules import Transformer
from torch import Tensor, nn
from torch.nn.functional import pad

from stages.encoders.fast.head import Head
from stages.encoders.fast.length_buckets import split


class FastTransformer(Transformer):
    """What `model.make_fast` makes of a Transformer.

    Attributes:
        head: if set, ``features["token_embeddings"]`` is its input, (batch, length, hidden), and it stands in ``features["head"]``.
        split_padding: tokens of padding that one more bucket has to save; 0: one pass.
    """

    head: Head | None = None
    split_padding = 0

    @torch.compiler.disable(recursive=False)  # lengths are Python numbers: each batch would be compiled anew
    def forward(self, features: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        buckets = self._buckets(features) if self.split_padding else []
        features = self._in_buckets(features, buckets, **kwargs) if len(buckets) > 1 else self._whole(features, **kwargs)
        return features | {"head": self.head} if self.head else features

    def obstacle(self) -> str:
        """Why its texts cannot be taken in buckets; empty if they can."""
        if self.module_output_name != "token_embeddings" or getattr(self.config, "output_hidden_states", False):
            return "it gives something else than one hidden state a token"
        if self.transformer_task == "fill-mask" and not self.head:
            return "it has the stock SPLADE head, whose logits are too large to put together"
        try:
            words = self.model.get_input_embeddings()
        except (AttributeError, NotImplementedError):  # a model of its own kind
            words = None
        return "" if isinstance(words, nn.Embedding) else "its word embeddings are no nn.Embedding"

    def _whole(self, features: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        if self.head is None:
            return super().forward(features, **kwargs)
        with self.head.taking_input():
            features = super().forward(features, **kwargs)
        features[self.module_output_name] = self.head.input(features["input_ids"].shape[1])
        return features

    def _in_buckets(self, features: dict[str, Any], buckets: list[tuple[list[int], int]], **kwargs: Any) -> dict[str, Any]:
        """As `_whole`; the embeddings beyond a bucket's longest text are zero."""
        mask, name, words = features["attention_mask"], self.module_output_name, self.model.get_input_embeddings()
        order = torch.tensor([row for bucket, _ in buckets for row in bucket]).to(mask.device)  # once: each such copy waits for a GPU
        # One lookup for all: the gradient of a lookup is as large as the word embeddings, and each bucket would have its own.
        looked_up, parts = words(features["input_ids"]), []
        for rows, (_, width) in zip(order.split([len(bucket) for bucket, _ in buckets]), buckets, strict=True):
            part = {key: value[rows, :width] if _is_table(value) else value for key, value in features.items()}
            ids, found = part["input_ids"], looked_up[rows, :width]
            with words.register_forward_hook(lambda _, arguments, own, ids=ids, found=found: found if arguments[0] is ids else own):
                tokens = self._whole(part, **kwargs)[name]
            parts.append(pad(tokens, (0, 0, 0, mask.shape[1] - width)))
        features[name] = torch.cat(parts).index_select(0, order.argsort())
        return features

    def _buckets(self, features: dict[str, Any]) -> list[tuple[list[int], int]]:
        """Rows and width of each; none where a feature is not one value a token (flash attention)."""
        mask = features.get("attention_mask")
        tables = [value for value in features.values() if _is_table(value)]
        if mask is None or "input_ids" not in features or any(table.shape != mask.shape for table in tables) or self.obstacle():
            return []
        places = torch.arange(1, mask.shape[1] + 1, dtype=torch.int32, device=mask.device)
        return split((mask.to(torch.int32) * places).amax(1).tolist(), self.split_padding)


def _is_table(value: Any) -> bool:
    """Whether a feature is a tensor of more than one dimension, which then is to be one of (text, token)."""
    return isinstance(value, Tensor) and value.ndim > 1
