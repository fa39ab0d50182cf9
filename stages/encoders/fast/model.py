"""Turn a stock SparseEncoder into one of fast modules, which is checked against stock on a few texts and saved as a stock model.

A module that has no fast form, or whose values would differ from stock's, stays stock. torch.nn.DataParallel is not supported.
"""

import copy
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from sentence_transformers import SparseEncoder
from sentence_transformers.base.modules import Router, Transformer
from sentence_transformers.sparse_encoder.modules import SpladePooling
from torch import Tensor, nn

from stages.encoders.fast.full_float32 import full_float32
from stages.encoders.fast.head import Head, Unsuitable, find_head
from stages.encoders.fast.max_pooled_linear import Maxima
from stages.encoders.fast.pooling import FastPooling
from stages.encoders.fast.transformer import FastTransformer
from stages.runtime.oom import is_out_of_memory

PROBE = ("og", "Hva er hovedstaden i Norge? Oslo, og det har den vært siden 1814.", "En god bok")
TOLERANCE = {torch.bfloat16: 5e-2, torch.float16: 1e-2}  # of the largest logit; 1e-3 in other dtypes


class FastEncoder(SparseEncoder):
    """A SparseEncoder that encodes in length buckets in training mode.

    Attributes:
        split_padding: tokens of padding that a further bucket must save; 0: no buckets.
    """

    split_padding = 0

    def train(self, mode: bool = True) -> "FastEncoder":
        super().train(mode)
        self.set_buckets()
        return self

    def set_buckets(self) -> None:
        for transformer in self.transformers():
            transformer.split_padding = self.split_padding if self.training else 0

    def save(self, *args: Any, **kwargs: Any) -> None:
        stock(self).save(*args, **kwargs)

    def transformers(self) -> list[FastTransformer]:
        return [module for module in self.modules() if isinstance(module, FastTransformer)]

    def has_buckets(self) -> bool:
        """Whether some transformer encodes in length buckets in training."""
        return bool(self.split_padding) and any(not transformer.obstacle() for transformer in self.transformers())


STOCK: dict[type, type] = {FastEncoder: SparseEncoder, FastTransformer: Transformer, FastPooling: SpladePooling}


def stock(model: SparseEncoder) -> SparseEncoder:
    """A model of sentence-transformers' own classes that shares the weights of ``model``, which is not changed."""
    copies: dict[nn.Module, nn.Module] = {}

    def copied(module: nn.Module) -> nn.Module:
        if module not in copies:
            copies[module] = twin = copy.copy(module)
            twin.__class__ = STOCK.get(type(module), type(module))
            twin.__dict__.pop("forward", None)  # set by accelerate for mixed precision
            if not isinstance(module, Transformer):
                twin._modules = {name: child and copied(child) for name, child in module._modules.items()}
        return copies[module]

    made = copied(model)
    assert isinstance(made, SparseEncoder)
    return made


def make_fast(model: SparseEncoder, maxima: Maxima | None = None, split_padding: int = 0) -> list[str]:
    """Give ``model`` the fast classes, in place. Calling it again is allowed.

    Args:
        maxima: see `max_pooled_linear`; a head whose values it changes uses torch's operations instead.
        split_padding: see `FastEncoder`.

    Returns:
        one line for each thing that stays stock, with the module's name and the reason.
    """
    model.__class__ = FastEncoder
    assert isinstance(model, FastEncoder)
    model.split_padding = split_padding
    names = {module: name for name, module in model.named_modules()}
    notes = []
    for transformer, followers in _followers(model).items():
        transformer.__class__ = FastTransformer
        assert isinstance(transformer, FastTransformer)
        transformer.head = None
        if pooling := next((module for module in followers if isinstance(module, SpladePooling)), None):
            try:
                if fault := _fuse(transformer, followers, maxima):
                    notes.append(f"{names[pooling]}: no Triton head ({fault})")
            except Unsuitable as error:
                notes.append(f"{names[pooling]}: stock SPLADE head, slower and larger ({error})")
    model.set_buckets()
    unsplit = [(names[transformer], transformer.obstacle()) for transformer in model.transformers() if split_padding]
    return notes + [f"{name}: no length buckets ({reason})" for name, reason in unsplit if reason]


def _followers(model: SparseEncoder) -> dict[Transformer, list[nn.Module | None]]:
    """The transformers in ``model``, those in a router's routes included, and the modules that follow each; None at the end of a route."""
    paths, found = [list(model.children())], dict[Transformer, list[nn.Module | None]]()
    for path in paths:
        paths += [list(route.children()) for module in path if isinstance(module, Router) for route in module.sub_modules.values()]
        for module, after in pairwise([*path, None]):
            if isinstance(module, Transformer):
                found.setdefault(module, []).append(after)
    return found


def _fuse(transformer: FastTransformer, followers: Sequence[nn.Module | None], maxima: Maxima | None) -> str:
    """Set the head of ``transformer`` and ``maxima`` of the poolings after it, or None instead if ``maxima`` fails the probe.

    Returns:
        why ``maxima`` failed; empty if it did not.

    Raises:
        Unsuitable: the head has to stay stock.
    """
    if transformer.transformer_task != "fill-mask":
        raise Unsuitable("it does not directly follow a Transformer with transformer_task 'fill-mask'")
    poolings = [pooling for pooling in followers if isinstance(pooling, SpladePooling)]
    if other := next((pooling.pooling_strategy for pooling in poolings if pooling.pooling_strategy != "max"), None):
        raise Unsuitable(f"pooling_strategy is {other!r}, not 'max'")
    if len(poolings) < len(followers):
        raise Unsuitable("its transformer's logits are also used without a SpladePooling by 'max'")
    head, faults = find_head(transformer), list[str]()
    for choice in [maxima, None] if maxima else [None]:
        transformer.head = head
        for pooling in poolings:
            pooling.__class__ = FastPooling
            assert isinstance(pooling, FastPooling)
            pooling.maxima = choice
        try:
            for pooling in poolings:
                _require_like_stock(transformer, head, pooling)
            return "".join(faults)
        except (RuntimeError, ValueError, TypeError, IndexError) as error:
            if is_out_of_memory(error):
                raise
            transformer.head = None
            faults.append(f"the probe failed: {' '.join(str(error).split())}")
    raise Unsuitable(faults[-1])


@torch.no_grad()
def _require_like_stock(transformer: FastTransformer, head: Head, pooling: SpladePooling) -> None:
    """Raise ValueError unless head and pooling give stock's values on `PROBE`; errors of torch pass through."""
    features = {
        key: value.to(transformer.model.device) if isinstance(value, Tensor) else value
        for key, value in transformer.preprocess(list(PROBE)).items()
    }
    pooling = copy.copy(pooling).eval()  # forward sets its embedding_dimension
    modes = [(module, module.training) for module in transformer.modules()]
    transformer.eval()
    try:
        with full_float32():  # TF32 alone would exceed the tolerance
            theirs = SpladePooling.forward(pooling, Transformer.forward(transformer, dict(features)))
            ours = pooling(transformer(dict(features)))
            logits = nn.functional.linear(ours["token_embeddings"], *head.parameters())
    finally:
        for module, mode in modes:
            module.training = mode
    _require_equal("logits", theirs["token_embeddings"][:, head.skips :], logits[:, head.skips :])
    _require_equal("embeddings", theirs["sentence_embedding"], ours["sentence_embedding"])


def _require_equal(what: str, stock: Tensor, ours: Tensor) -> None:
    """Raise ValueError if values differ; a term that the head masks (−inf) only has to be without effect in stock."""
    if stock.shape != ours.shape:
        raise ValueError(f"{what} have shape {tuple(ours.shape)} instead of {tuple(stock.shape)}")
    masked = (ours == float("-inf")) & (stock <= 0)
    difference = (stock - ours).masked_fill(masked, 0.0).abs().max()
    limit = TOLERANCE.get(stock.dtype, 1e-3) * stock.masked_fill(masked, 0.0).abs().max()
    if not difference <= limit:
        raise ValueError(f"{what} differ from stock by {difference.item():.2g}")
