"""No work on padding: the texts of a training step go through the transformer in groups of like lengths.

A batch stays as it is, and so do its loss and gradients, but for rounding and for which values dropout drops: the token
embeddings of the groups are put together again before they are pooled.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from sentence_transformers import SparseEncoder
from sentence_transformers.base.modules import Transformer
from torch import Tensor
from torch.nn.functional import pad

from stages.encoders.masked_lm_head import Unsuitable, find_head


@contextmanager
def length_groups(model: SparseEncoder, saving: int) -> Iterator[None]:
    """While it lasts, the transformers in ``model`` take texts in groups, split wherever that saves ``saving`` tokens of padding.

    A transformer with the stock SPLADE head stays as it is: its token embeddings are logits, too large to put together.
    0: all stay as they are.
    """
    grouped = [module for module in model.modules() if isinstance(module, Transformer) and saving and not _gives_logits(module)]
    for transformer in grouped:
        transformer.__dict__["forward"] = GroupedForward(model, transformer, saving)
    try:
        yield
    finally:
        for transformer in grouped:
            transformer.__dict__.pop("forward", None)


@dataclass(frozen=True, eq=False)
class GroupedForward:
    """Stands for ``transformer.forward``; an object, not a closure, so that a deep copy refers to its own parameters."""

    model: SparseEncoder
    transformer: Transformer
    saving: int

    def __call__(self, features: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """As Transformer: (batch, length, hidden) token embeddings; those of padding are zero where texts were grouped."""
        groups = self.groups(features)
        if len(groups) < 2:
            return self.stock(features, **kwargs)
        shape, name = features["attention_mask"].shape, self.transformer.module_output_name
        parts = []
        for group, width in groups:
            rows = torch.tensor(group, device=features["attention_mask"].device)
            cut = {key: value[rows, :width] if isinstance(value, Tensor) and value.ndim > 1 else value for key, value in features.items()}
            tokens = self.stock(cut, **kwargs)[name]
            parts.append(pad(tokens, (0, 0, 0, shape[1] - width)))
        places = torch.tensor([row for group, _ in groups for row in group], device=parts[0].device).argsort()
        features[name] = torch.cat(parts).index_select(0, places)
        return features

    def stock(self, features: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        output: dict[str, Any] = type(self.transformer).forward(self.transformer, features, **kwargs)
        return output

    @torch.compiler.disable
    def groups(self, features: dict[str, Any]) -> list[tuple[list[int], int]]:
        """Rows and width of each group; none outside training, nor where a feature is not one value a token (flash attention)."""
        mask = features.get("attention_mask")
        tables = [value for value in features.values() if isinstance(value, Tensor) and value.ndim > 1]
        if not self.model.training or mask is None or any(table.shape != mask.shape for table in tables):
            return []
        places = torch.arange(1, mask.shape[1] + 1, dtype=torch.int32, device=mask.device)
        return split((mask.to(torch.int32) * places).amax(1).tolist(), self.saving)


def split(lengths: Sequence[int], saving: int) -> list[tuple[list[int], int]]:
    """Rows, longest first, and largest length of groups: each split is the best of its group and saves at least ``saving`` tokens."""
    rows = sorted(range(len(lengths)), key=lambda row: -lengths[row])

    def cut(group: list[int]) -> list[list[int]]:
        longest = lengths[group[0]]
        saved, place = max(((longest - lengths[group[at]]) * (len(group) - at), at) for at in range(len(group)))
        return [*cut(group[:place]), *cut(group[place:])] if saved >= max(1, saving) else [group]

    return [(group, max(1, lengths[group[0]])) for group in cut(rows)]


def _gives_logits(transformer: Transformer) -> bool:
    if transformer.transformer_task != "fill-mask":
        return False
    try:
        return not find_head(transformer).is_passing()
    except Unsuitable:
        return True
