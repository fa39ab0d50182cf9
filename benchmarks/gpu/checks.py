"""Whether a GPU computes what it should: each function yields the rows of one of `run.py`'s tables, with ``passes``.

Errors are ‖found − expected‖ / ‖expected‖; what is expected is computed in float64.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from measures import has_triton, settings
from splade_head import maxima as torch_or_triton
from torch import Tensor
from training_step import CURVE, CURVE_BIAS, measure

Row = dict[str, Any]
SHAPES: list[tuple[list[int], int, int]] = [
    ([1], 1, 3),
    ([0, 2, 0, 3, 0], 5, 4),
    ([7, 150, 31, 1, 64], 1500, 16),
    ([5], 130, 97),
    ([64, 128, 129, 0], 257, 64),
]
LARGE = ([256, 255, 64, 65, 1, 0, 200, 130, 17, 90], 50_003, 768)
PRECISIONS = {"float32": (torch.float32, "ieee", 2e-6), "TF32": (torch.float32, "tf32", 2e-3)}
PRECISIONS |= {"bf16": (torch.bfloat16, "ieee", 1e-2), "fp16": (torch.float16, "ieee", 2e-3)}


@contextmanager
def matmul(precision: str) -> Iterator[None]:
    """float32 products in full (ieee), in TF32, or as torch.backends.fp32_precision says (none)."""
    before = torch.backends.cuda.matmul.fp32_precision
    torch.backends.cuda.matmul.fp32_precision = precision
    try:
        yield
    finally:
        torch.backends.cuda.matmul.fp32_precision = before


def error(found: Tensor, expected: Tensor) -> float:
    """Relative; NaN where there is one, 0 where both are 0."""
    difference, size = (found.double() - expected.double()).norm().item(), expected.double().norm().item()
    return difference / size if size else difference


def maxima(device: str, smoke: bool) -> Iterator[Row]:
    """`max_pooled_linear` by itself: values, whether each winner has its text's maximum, and gradients through the winners."""
    from stages.encoders.fast.max_pooled_linear import in_blocks, in_stacks

    ways = {"in_blocks": in_blocks, "in_stacks": in_stacks} | ({"triton_maxima": torch_or_triton(True)} if has_triton(device) else {})
    for way, function in ways.items():
        for precision, (dtype, setting, limit) in PRECISIONS.items():
            with matmul(setting):
                errors = [_one_shape(function, shape, dtype, device) for shape in [*SHAPES, *([] if smoke else [LARGE])]]
                worst = {key: max((each[key] for each in errors), key=lambda value: (value != value, value)) for key in errors[0]}
                nan = _nan_is_kept(function, dtype, device)
            passes = nan and all(value <= limit for value in worst.values())
            yield {"maxima": way, "precision": precision, **worst, "limit": limit, "NaN kept": nan, "passes": passes}


def _one_shape(function: Any, shape: tuple[list[int], int, int], dtype: torch.dtype, device: str) -> dict[str, float]:
    from stages.encoders.fast.max_pooled_linear import max_pooled_linear

    lengths, outputs, hidden = shape
    generator = torch.Generator().manual_seed(sum(lengths) + outputs)
    tokens = torch.randn(sum(lengths), hidden, generator=generator).to(device, dtype).requires_grad_()
    weight = torch.randn(outputs, hidden, generator=generator).to(device).requires_grad_()
    poison = torch.full((3, len(lengths), outputs), float("nan"), device=device)  # memory that the next tensors get, unwritten
    del poison
    winners = torch.zeros(len(lengths), outputs, dtype=torch.int32, device=device)
    with torch.no_grad():
        function(tokens, weight, lengths, winners)
        without = max_pooled_linear(tokens, weight, lengths, function)
    pooled = max_pooled_linear(tokens, weight, lengths, function)
    exact, rounded = tokens.detach().double(), weight.detach().to(dtype).double()
    filled = [text for text, length in enumerate(lengths) if length]
    logits = torch.stack([(text @ rounded.t()).amax(0) for text in exact.split(lengths) if len(text)])
    at_winners = torch.stack([(exact[row.long()] * rounded).sum(-1) for row in winners[filled]])
    starts = torch.tensor([0, *lengths], device=device).cumsum(0)
    inside = (winners >= starts[:-1, None]) & (winners < starts[1:, None])
    assert inside[filled].all(), "a winner of another text"
    assert (pooled[[text for text in range(len(lengths)) if text not in filled]] == float("-inf")).all(), "a text without tokens"
    assert torch.equal(without, pooled), "values without gradients differ from those with"
    gradient = torch.randn(pooled.shape, generator=generator).to(device, dtype)
    gradient[[text for text in range(len(lengths)) if text not in filled]] = 0
    found = torch.autograd.grad(pooled, (tokens, weight), gradient)
    expected = [torch.zeros_like(exact), torch.zeros_like(rounded)]
    for text in filled:
        spread = exact.new_zeros(len(exact), outputs).scatter_(0, winners[text, None].long(), gradient[text, None].double())
        expected[0] += spread @ weight.detach().double()
        expected[1] += spread.t() @ exact
    names = ("values", "at winners", "d tokens", "d weight")
    pairs = zip((pooled[filled], at_winners, *found), (logits, logits, *expected), strict=True)
    return {name: error(*pair) for name, pair in zip(names, pairs, strict=True)}


def _nan_is_kept(function: Any, dtype: torch.dtype, device: str) -> bool:
    tokens = torch.randn(145, 4, device=device)
    tokens[[2, 144]] = float("nan")
    pooled = function(tokens.to(dtype), torch.randn(7, 4, device=device), [70, 5, 70], None)
    return bool(torch.isnan(pooled[[0, 2]]).all() and torch.isfinite(pooled[1]).all())


def head_values(device: str, smoke: bool) -> Iterator[Row]:
    """Head and pooling with gradients, stock and ours.

    A near tie that rounding decides otherwise sends a gradient to another token, so gradients are held to stock's own error. In half
    precision ours rounds before it adds the bias, and so decides a few more.
    """
    from sentence_transformers.sparse_encoder.modules import SpladePooling

    from stages.encoders.fast.head import Head
    from stages.encoders.fast.pooling import FastPooling

    batch, length, hidden, vocabulary = (12, 40, 32, 3001) if smoke else (12, 256, 768, 20_011)
    torch.manual_seed(3)
    lengths = torch.randint(length // 4, length + 1, (batch,))
    lengths[:3] = torch.tensor([length, 1, 0])
    mask = (torch.arange(length) < lengths[:, None]).long().to(device)
    inputs = [torch.randn(batch, length, hidden), torch.randn(vocabulary, hidden) * hidden**-0.5, torch.randn(vocabulary) * 0.5 - 1.5]
    gradient = torch.randn(batch, vocabulary).to(device)

    def run(kind: str, activation: str, dtype: torch.dtype, autocast: torch.dtype | None, triton: bool = False) -> list[Tensor]:
        states, weight, bias = (each.to(device, dtype, copy=True).requires_grad_() for each in inputs)
        decoder = torch.nn.Linear(hidden, vocabulary, device=device, dtype=dtype)
        decoder.weight, decoder.bias = torch.nn.Parameter(weight), torch.nn.Parameter(bias)
        pooling = SpladePooling("max", activation_function=activation).train()
        with torch.autocast(device, autocast or torch.bfloat16, enabled=autocast is not None):
            if kind == "stock":
                embeddings = pooling({"token_embeddings": decoder(states), "attention_mask": mask})["sentence_embedding"]
            else:
                fast = FastPooling("max", activation_function=activation)
                fast.maxima = torch_or_triton(triton)
                embeddings = fast({"token_embeddings": states, "attention_mask": mask, "head": Head(decoder)})["sentence_embedding"]
        gradients = torch.autograd.grad((embeddings * gradient).sum(), (states, decoder.weight, decoder.bias))
        return [embeddings.detach(), *gradients]

    names = ("values", "d states", "d weight", "d bias")
    kinds = {"stock": False, "ours": False, "ours, Triton": True}
    for activation in ("relu", "log1p_relu"):
        exact = run("stock", activation, torch.float64, None)
        for precision, (dtype, setting, floor) in PRECISIONS.items():
            stock: list[float] = []
            for kind, triton in kinds.items():
                if triton and not has_triton(device):
                    continue
                with matmul(setting):
                    found = run(kind, activation, torch.float32, None if dtype == torch.float32 else dtype, triton)
                errors = [error(*pair) for pair in zip(found, exact, strict=True)]
                stock = stock or errors
                limits = [floor + 1.5 * stock[0], *(floor + 3 * each + 1e-2 for each in stock[1:])]
                passes = all(each <= limit for each, limit in zip(errors, limits, strict=True))
                passes &= kind == "stock" or found[0].dtype == torch.float32
                what = {"activation": activation, "precision": precision, "kind": kind}
                yield {**what, **dict(zip(names, errors, strict=True)), "passes": passes}


def curves(device: str, smoke: bool) -> Iterator[Row]:
    """Losses of 30 steps from the same weights on the same batches: the largest difference from stock's, relative."""
    size = "2x64x2000x4x32" if smoke else CURVE
    kinds = {"stock": ("stock", False), "stock again": ("stock", False), "ours": ("ours", False), "ours, Triton": ("ours", True)}
    for autocast, limit in ((False, 1e-4), (True, 2e-2)):
        stock: list[float] = []
        for name, (kind, triton) in kinds.items():
            if triton and not has_triton(device):
                continue
            options = settings(device, autocast=autocast, triton=triton, steps=30, dropout=0.0, bias=CURVE_BIAS, split_padding=64)
            with matmul("ieee"):
                losses = measure(kind, size, options)["losses"]
            stock = stock or losses
            yield {"precision": "bf16" if autocast else "float32", "kind": name, **against(losses, stock, limit)}


def against(losses: Sequence[float], expected: Sequence[float], limit: float) -> Row:
    """The largest relative difference of the losses, and whether it is within ``limit``; of the last ones where some have fewer."""
    difference = max(abs(a - b) / abs(b) for a, b in zip(losses[::-1], expected[::-1], strict=False))
    ends = {"first": f"{losses[0]:.5f}", "last": f"{losses[-1]:.5f}"}
    return {**ends, "largest difference": difference, "limit": limit, "passes": difference <= limit}
