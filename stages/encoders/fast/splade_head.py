"""SPLADE's head and pooling as one operation, put around a model for training and evaluation in this process.

Stock makes logits of every token for every term (batch × length × vocabulary), twice, to keep the largest of each text
and term. While a model is attached, its last linear map passes its input through, and the pooling that follows applies
the map and takes the maxima in one go (`max_pooled_linear`), over real tokens only. log1p and relu are monotone, so
taking the maximum first gives the same values and gradients.

Parameters, buffers, configuration and classes stay as they are: an attached model is saved as a stock one. What differs
while it is attached is ``features["token_embeddings"]``: the head's input, (batch, length, hidden), in place of logits.
torch.nn.DataParallel is not supported.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from sentence_transformers import SparseEncoder
from sentence_transformers.base.modules import Router, Transformer
from sentence_transformers.sparse_encoder.modules import SpladePooling
from torch import Tensor, nn

from stages.encoders.fast.full_float32 import full_float32
from stages.encoders.fast.masked_lm_head import Head, Unsuitable, find_head
from stages.encoders.fast.max_pooled_linear import Maxima, max_pooled_linear
from stages.runtime.oom import is_out_of_memory

PROBE = ("og", "Hva er hovedstaden i Norge? Oslo, og det har den vært siden 1814.", "En god bok")
TOLERANCE = {torch.bfloat16: 5e-2, torch.float16: 1e-2}  # of the largest logit; 1e-3 in other dtypes


@dataclass(frozen=True)
class Placement:
    """What became of one SpladePooling: ``fused``, or left as it is for a ``reason``; ``name`` is its path in the model."""

    name: str
    fused: bool
    reason: str = ""


def attach(model: SparseEncoder, maxima: Maxima | None = None) -> list[Placement]:
    """Fuse head and pooling on every path of ``model``, routes included, where max SpladePooling follows a masked LM.

    Each is tried on three short texts, and left stock where values differ. Attaching twice is the same as once. ``maxima``: as
    `max_pooled_linear`.

    Returns:
        one entry a SpladePooling, in the model's order; none for a model that has none, such as CSR.
    """
    detach(model)
    neighbours = [pair for path in _paths(model.children()) for pair in zip([None, *path], [*path, None], strict=True)]
    reasons: dict[SpladePooling, str] = {}
    for before, pooling in neighbours:
        if isinstance(pooling, SpladePooling) and pooling not in reasons:
            try:
                transformer = _transformer_of(before, pooling, neighbours)
                _fuse(transformer, FusedPooling(pooling, find_head(transformer), maxima))
                reasons[pooling] = ""
            except Unsuitable as error:
                reasons[pooling] = str(error)
    names = {module: name for name, module in model.named_modules()}
    return [Placement(names[pooling], not reason, reason) for pooling, reason in reasons.items()]


def detach(model: SparseEncoder) -> None:
    """Make an attached model stock again; one that is not attached stays as it is."""
    for module in model.modules():
        if isinstance(module, SpladePooling) and isinstance(fused := module.__dict__.get("forward"), FusedPooling):
            _remove(fused)


@dataclass(frozen=True, eq=False)
class FusedPooling:
    """Stands for ``pooling.forward`` where ``token_embeddings`` are the input of the head.

    An object, not a closure, so that a deep copy of the model refers to its own parameters.
    """

    pooling: SpladePooling
    head: Head
    maxima: Maxima | None = None

    @torch.compiler.disable  # lengths are Python numbers: every batch would be compiled anew
    def __call__(self, features: dict[str, Any]) -> dict[str, Any]:
        """As SpladePooling: (batch, vocabulary) ``sentence_embedding``; float32 under autocast, as stock on CUDA."""
        weight, bias = self.head.parameters()
        tokens, lengths = _real_tokens(features, self.head.skips)
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
        if self.pooling.activation_function == "log1p_relu":
            pooled = pooled.log1p()
        if self.pooling.embedding_dimension is None:
            self.pooling.embedding_dimension = pooled.shape[1]
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


def _paths(modules: Iterable[nn.Module]) -> Iterator[list[nn.Module]]:
    """The modules in a row, and those of every route below them."""
    path = list(modules)
    yield path
    for module in path:
        if isinstance(module, Router):
            for route in module.sub_modules.values():
                yield from _paths(route.children())


def _transformer_of(
    before: nn.Module | None, pooling: SpladePooling, neighbours: list[tuple[nn.Module | None, nn.Module | None]]
) -> Transformer:
    if pooling.pooling_strategy != "max":
        raise Unsuitable(f"pooling_strategy is {pooling.pooling_strategy!r}, not 'max'")
    if not isinstance(before, Transformer) or before.transformer_task != "fill-mask":
        raise Unsuitable("it does not follow directly on a Transformer with transformer_task 'fill-mask'")
    if any(after is pooling and other is not before for other, after in neighbours):
        raise Unsuitable("several transformers share it")
    others = [after for other, after in neighbours if isinstance(other, Transformer) and other.model is before.model]
    if any(not isinstance(after, SpladePooling) or after.pooling_strategy != "max" for after in others):
        raise Unsuitable("its transformer's logits are also used without max SpladePooling")
    return before


def _fuse(transformer: Transformer, fused: FusedPooling) -> None:
    """Install the fused pooling if it gives what stock gives on a few texts; else leave everything as it was."""
    pooling, head = fused.pooling, fused.head
    features = {
        key: value.to(transformer.model.device) if isinstance(value, Tensor) else value
        for key, value in transformer.preprocess(list(PROBE)).items()
    }
    modes = [(module, module.training) for module in (*transformer.modules(), pooling)]
    dimension = pooling.embedding_dimension
    passing_before = head.is_passing()
    try:
        transformer.eval()
        pooling.eval()
        with torch.no_grad(), full_float32():  # TF32 alone makes a difference of more than the tolerance
            head.pass_through(False)
            stock = pooling(transformer(dict(features)))
            head.pass_through(True)
            pooling.__dict__["forward"] = fused
            ours = pooling(transformer(dict(features)))
            weight, bias = head.parameters()
            logits = nn.functional.linear(ours["token_embeddings"], weight, bias)
        _require_equal("logits", stock["token_embeddings"][:, head.skips :], logits[:, head.skips :])
        _require_equal("embeddings", stock["sentence_embedding"], ours["sentence_embedding"])
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        if is_out_of_memory(error):
            raise
        pooling.__dict__.pop("forward", None)
        head.pass_through(passing_before)
        raise Unsuitable(f"the probe failed: {' '.join(str(error).split())}") from error
    finally:
        pooling.embedding_dimension = dimension
        for module, mode in modes:
            module.training = mode


def _require_equal(what: str, stock: Tensor, ours: Tensor) -> None:
    """Raise ValueError where values differ; a term that the head takes out (−inf) must only have no effect in stock."""
    if stock.shape != ours.shape:
        raise ValueError(f"{what} of shape {tuple(ours.shape)} instead of {tuple(stock.shape)}")
    taken_out = (ours == float("-inf")) & (stock <= 0)
    difference = (stock - ours).masked_fill(taken_out, 0.0).abs().max()
    limit = TOLERANCE.get(stock.dtype, 1e-3) * stock.masked_fill(taken_out, 0.0).abs().max()
    if not difference <= limit:
        raise ValueError(f"{what} differ from stock's by {difference.item():.2g}")


def _remove(fused: FusedPooling) -> None:
    fused.head.pass_through(False)
    fused.pooling.__dict__.pop("forward", None)
