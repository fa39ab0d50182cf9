"""Less work on padding: the texts of a training step, queries and documents, go through the transformer in groups of like lengths.

A batch stays as it is, and so do its loss and gradients, but for rounding and for which values dropout drops: the token
embeddings of the groups are put together again before they are pooled. (Batches of like lengths, tried before, had more
padding left and cost nDCG: long and short texts were seldom contrasted.)
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from sentence_transformers import SparseEncoder
from sentence_transformers.base.losses.merged_forward import embed_columns
from sentence_transformers.base.modules import Transformer
from sentence_transformers.sparse_encoder.losses import splade
from torch import Tensor, nn
from torch.nn.functional import pad

from stages.encoders.fast.like_lengths import split
from stages.encoders.fast.masked_lm_head import Unsuitable, find_head


@contextmanager
def length_groups(model: SparseEncoder, saving: int) -> Iterator[None]:
    """While it lasts, the transformers in ``model`` take texts in groups, split wherever that saves ``saving`` tokens of padding.

    Those that `left_whole` names stay as they are. 0: all stay. Where there are any, SpladeLoss takes `in_one_pass`.
    """
    transformers = [module for module in model.modules() if isinstance(module, Transformer) and saving and not _obstacle(module)]
    for transformer in transformers:
        transformer.__dict__["forward"] = GroupedForward(model, transformer, transformer.model.get_input_embeddings(), saving)
    splade.embed_columns = in_one_pass if transformers else embed_columns  # type: ignore[assignment]
    try:
        yield
    finally:
        splade.embed_columns = embed_columns
        for transformer in transformers:
            transformer.__dict__.pop("forward", None)


def in_one_pass(model: nn.Module, columns: Iterable[dict[str, Any]], separate_first: bool = True) -> list[Tensor]:
    """As sentence-transformers' `embed_columns`, with the queries among the documents, unless they take another route.

    It has them apart lest they be padded, which groups spare them; but a pass has gradients of its own, as large as the word
    embeddings and as the head, and they are most of the memory where the vocabulary is large.
    """
    columns = list(columns)
    kinds = [(column.get("task"), column.get("prompt_length")) for column in columns]
    return embed_columns(model, columns, separate_first=any(kind != kinds[0] for kind in kinds))


def left_whole(model: SparseEncoder) -> dict[str, str]:
    """The transformers in ``model`` whose texts cannot be taken in groups: path in the model → reason."""
    obstacles = {name: _obstacle(module) for name, module in model.named_modules() if isinstance(module, Transformer)}
    return {name: obstacle for name, obstacle in obstacles.items() if obstacle}


def _obstacle(transformer: Transformer) -> str:
    if transformer.module_output_name != "token_embeddings" or getattr(transformer.config, "output_hidden_states", False):
        return "it gives something else than one hidden state a token"
    try:
        if transformer.transformer_task == "fill-mask" and not find_head(transformer).is_passing():
            return "it has the stock SPLADE head, whose logits are too large to put together"
        if isinstance(transformer.model.get_input_embeddings(), nn.Embedding):
            return ""
    except Unsuitable as error:
        return str(error)
    except (AttributeError, NotImplementedError):  # a model of its own kind
        pass
    return "its word embeddings are no nn.Embedding"


@dataclass(frozen=True, eq=False)
class GroupedForward:
    """Stands for ``transformer.forward``; an object, not a closure, so that a deep copy refers to its own parameters."""

    model: SparseEncoder
    transformer: Transformer
    words: nn.Embedding
    saving: int

    def __call__(self, features: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """As Transformer: (batch, length, hidden) token embeddings; those beyond a group's longest text are zero."""
        groups = self.groups(features)
        if len(groups) < 2:
            return self.stock(features, **kwargs)
        mask, name = features["attention_mask"], self.transformer.module_output_name
        order = torch.tensor([row for group, _ in groups for row in group]).to(mask.device)  # once: each such copy waits for a GPU
        parts = []
        with one_lookup(self.words, features["input_ids"]) as lookup:
            for rows, (_, width) in zip(order.split([len(group) for group, _ in groups]), groups, strict=True):
                cut = {key: value[rows, :width] if is_table(value) else value for key, value in features.items()}
                lookup.part(cut["input_ids"], rows)
                tokens = self.stock(cut, **kwargs)[name]
                parts.append(pad(tokens, (0, 0, 0, mask.shape[1] - width)))
        features[name] = torch.cat(parts).index_select(0, order.argsort())
        return features

    def stock(self, features: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        output: dict[str, Any] = type(self.transformer).forward(self.transformer, features, **kwargs)
        return output

    @torch.compiler.disable
    def groups(self, features: dict[str, Any]) -> list[tuple[list[int], int]]:
        """Rows and width of each group; none outside training, nor where a feature is not one value a token (flash attention)."""
        mask = features.get("attention_mask")
        tables = [value for value in features.values() if is_table(value)]
        if not self.model.training or mask is None or "input_ids" not in features or any(table.shape != mask.shape for table in tables):
            return []
        places = torch.arange(1, mask.shape[1] + 1, dtype=torch.int32, device=mask.device)
        return split((mask.to(torch.int32) * places).amax(1).tolist(), self.saving)


def is_table(value: Any) -> bool:
    """Whether a feature is a tensor of more than one dimension, which then is to be one of (text, token)."""
    return isinstance(value, Tensor) and value.ndim > 1


class Lookup:
    """Stands for the forward of word embeddings: rows of one lookup of the whole batch, where it is asked for the ids of a part.

    The gradient of a lookup is as large as the embeddings, and each part would have its own.
    """

    def __init__(self, words: nn.Embedding, ids: Tensor) -> None:
        self._words, self._whole = words, words(ids)
        self._ids, self._found = ids, self._whole

    def part(self, ids: Tensor, rows: Tensor) -> None:
        """The next ids asked for are ``ids``, those of ``rows``, cut to their width."""
        self._ids, self._found = ids, self._whole[rows, : ids.shape[1]]

    def __call__(self, ids: Tensor) -> Tensor:
        return self._found if ids is self._ids else type(self._words).forward(self._words, ids)


@contextmanager
def one_lookup(words: nn.Embedding, ids: Tensor) -> Iterator[Lookup]:
    """While it lasts, ``words`` gives parts of one lookup of ``ids``."""
    words.__dict__["forward"] = lookup = Lookup(words, ids)
    try:
        yield lookup
    finally:
        del words.__dict__["forward"]
