"""A linear map followed by a max over each text's tokens, without storing the (tokens × outputs) matrix between the two.

Of the SPLADE head's logits (batch × length × vocabulary) only one token per text and term counts. Here the map is computed
in blocks of terms, and each block is reduced to its maxima at once: text by text on CPU (`in_blocks`), for several texts at a
time elsewhere (`in_stacks`), or by a kernel (`triton_maxima`). The backward pass goes through the winning tokens only, as weighted
sums of rows (`by_pairs`); in half precision on CUDA as matrix products (`by_products`). All operations exist on CPU, CUDA and MPS.

On CPU in float32, with 32 texts of 64 to 256 tokens, 50,000 terms and hidden size 768, the product takes 3.1 core seconds,
the maxima 0.4, and the backward pass 0.9 if every term is active, 0.2 if 3% are. Stock takes 22.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from stages.encoders.fast.length_buckets import split

# Logits in memory at a time. On CPU 2^22 to 2^26 take the same time; an H100 took 2.5 ms with 2^25, 2.0 with 2^27 and 1.8 with 2^29.
BLOCK = {"cpu": 1 << 23, "cuda": 1 << 27, "mps": 1 << 25}
SPREAD = 1 << 25  # size of a block of the matrix in `by_products`
PAIRS = 1 << 20  # (text, term) pairs at a time in `by_pairs`, which needs a few vectors of this size
STACK = 1 << 14  # tokens at a time in `in_stacks`, repeated ones included
SLICE = 1 << 16  # tokens at a time in `by_products`
SAVING = 512  # tokens that a further stack must save: an estimate of what its launches cost
RUN = 8  # tokens in a run of the two-step maximum: 0.39 s; 4 took 0.43, 16 took 0.52 and one step 0.56

Maxima = Callable[[Tensor, Tensor, Sequence[int], Tensor | None], Tensor]  # signature of `in_blocks`


def max_pooled_linear(tokens: Tensor, weight: Tensor, lengths: Sequence[int], maxima: Maxima | None = None) -> Tensor:
    """The maximum of ``tokens @ weight.T`` over each text's tokens, for each output.

    Args:
        tokens: (sum of lengths, hidden), one text after the other; the product is computed in its dtype.
        weight: (outputs, hidden), of any floating dtype.
        lengths: number of tokens of each text; 0 is allowed.
        maxima: computes the maxima; None: `in_blocks` on CPU, `in_stacks` elsewhere.

    Returns:
        (texts, outputs), in the dtype of ``tokens``; −inf for a text without tokens. Differentiable once in both tensors;
        among equal maxima one token gets the gradient.
    """
    maxima = maxima or (in_blocks if tokens.device.type == "cpu" else in_stacks)
    if torch.is_grad_enabled() and (tokens.requires_grad or weight.requires_grad):
        pooled: Tensor = _MaxPooledLinear.apply(tokens, weight, lengths, maxima)
        return pooled
    return maxima(tokens, weight, lengths, None)


class _MaxPooledLinear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tokens: Tensor, weight: Tensor, lengths: Sequence[int], maxima: Maxima) -> Tensor:
        winners = torch.zeros(len(lengths), weight.shape[0], dtype=torch.int32, device=tokens.device)
        pooled = maxima(tokens, weight, lengths, winners)
        ctx.save_for_backward(tokens, weight, winners)
        ctx.lengths = lengths
        return pooled

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        tokens, weight, winners = ctx.saved_tensors
        way = by_products if tokens.device.type == "cuda" and tokens.dtype in (torch.bfloat16, torch.float16) else by_pairs
        return *way(gradient, tokens, weight, winners, ctx.lengths, ctx.needs_input_grad[:2]), None, None


def in_blocks(tokens: Tensor, weight: Tensor, lengths: Sequence[int], winners: Tensor | None) -> Tensor:
    """The maxima, a block of terms at a time and text by text.

    Args:
        tokens, weight, lengths: see `max_pooled_linear`.
        winners: zeros of int32, shape (texts, outputs), or None; receives the rows of ``tokens`` that have the maxima.
    """
    outputs = weight.shape[0]
    pooled = tokens.new_full((len(lengths), outputs), float("-inf"))
    if not len(tokens):
        return pooled
    width = _width(outputs, len(tokens), _block(tokens.device))
    memory = tokens.new_empty(len(tokens) * width)
    for first in range(0, outputs, width):
        terms = slice(first, min(first + width, outputs))
        part = weight[terms].to(tokens.dtype)
        logits = memory[: len(tokens) * len(part)].view(len(tokens), len(part))
        torch.mm(tokens, part.t(), out=logits)
        start = 0
        for text, length in enumerate(lengths):
            if length and winners is None:
                torch.amax(logits[start : start + length], 0, out=pooled[text, terms])
            elif length and winners is not None:
                values, rows = _max_over_rows(logits[start : start + length])
                pooled[text, terms] = values
                winners[text, terms] = rows + start
            start += length
    return pooled


def in_stacks(tokens: Tensor, weight: Tensor, lengths: Sequence[int], winners: Tensor | None) -> Tensor:
    """As `in_blocks`, several texts at a time: text by text a GPU would mostly wait for launches.

    A text is padded to its stack's length by repeating its last token, which does not change its maximum.
    """
    outputs = weight.shape[0]
    pooled = tokens.new_full((len(lengths), outputs), float("-inf"))
    groups = stacks(lengths, tokens.device)
    width = _width(outputs, max((rows.numel() for _, rows in groups), default=1), _block(tokens.device))
    for first in range(0, outputs, width):
        terms = slice(first, min(first + width, outputs))
        part = weight[terms].to(tokens.dtype).t()
        for texts, rows in groups:
            logits = (tokens[rows.flatten()] @ part).view(*rows.shape, -1)
            if winners is None:
                pooled[texts, terms] = logits.amax(1)
            else:
                pooled[texts, terms], places = logits.max(1)
                winners[texts, terms] = rows.gather(1, places).to(winners.dtype)
    return pooled


def stacks(lengths: Sequence[int], device: torch.device) -> list[tuple[Tensor, Tensor]]:
    """Group texts of similar length; return each stack's texts and the rows of their tokens, shape (texts, longest). Skips empty texts."""
    starts = torch.tensor([0, *lengths]).cumsum(0)
    filled = [text for text, length in enumerate(lengths) if length]
    parts = []
    for group, longest in split([lengths[text] for text in filled], SAVING) if filled else ():
        for some in torch.tensor(group).split(max(1, STACK // longest)):
            texts = torch.tensor(filled)[some]
            last = torch.tensor(lengths)[texts, None] - 1
            parts += [texts, (starts[texts, None] + torch.minimum(torch.arange(longest), last)).flatten()]
    placed = torch.cat(parts).to(device).split([len(part) for part in parts]) if parts else ()  # one copy to the device
    return [(texts, rows.view(len(texts), -1)) for texts, rows in zip(placed[::2], placed[1::2], strict=True)]


def _block(device: torch.device) -> int:
    return BLOCK.get(device.type, BLOCK["mps"])


def _width(outputs: int, tokens: int, block: int) -> int:
    """Number of terms in a block of about ``block`` logits of ``tokens`` tokens."""
    return min(outputs, max(512, block // tokens // 64 * 64))


def _max_over_rows(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Largest value and its row, for each column.

    On CPU torch's maximum is three times slower with the row than without. So take the maxima of runs of rows first, then search
    the winning run only.
    """
    length, columns = logits.shape
    if logits.device.type != "cpu" or length < 4 * RUN:
        return torch.max(logits, 0)
    whole = length // RUN
    runs = logits.new_empty(-(-length // RUN), columns)
    torch.amax(logits[: whole * RUN].view(whole, RUN, columns), 1, out=runs[:whole])
    if len(runs) > whole:  # the last run overlaps the one before it
        torch.amax(logits[-RUN:], 0, out=runs[whole])
    values, run = torch.max(runs, 0)
    begin = run.mul_(RUN).clamp_(max=length - RUN)
    candidates = logits.gather(0, begin + torch.arange(RUN).unsqueeze(1))
    return values, torch.max(candidates, 0)[1].add_(begin)


def by_pairs(
    gradient: Tensor, tokens: Tensor, weight: Tensor, winners: Tensor, lengths: Sequence[int], needed: Sequence[bool]
) -> tuple[Tensor | None, Tensor | None]:
    """Gradients of tokens and weight through the (text, output) pairs whose gradient is not zero, computed in at least float32.

    Args:
        gradient: of the maxima, shape (texts, outputs).
        tokens, weight, winners, lengths: see `in_blocks`.
        needed: whether the gradient of tokens, and that of weight, is needed; None is returned for the other.
    """
    exact = torch.promote_types(torch.promote_types(tokens.dtype, weight.dtype), torch.float32)
    texts, outputs = winners.shape
    rows = tokens.to(exact)
    for_tokens = torch.zeros_like(rows) if needed[0] else None
    for_weight = torch.empty(weight.shape, dtype=exact, device=weight.device) if needed[1] else None
    width = max(1, PAIRS // max(1, texts))
    for first in range(0, outputs, width):
        terms = slice(first, min(first + width, outputs))
        # Term by term, so that a term's pairs are adjacent; it has at most one pair for each text.
        share = gradient[:, terms].t().reshape(-1)
        pairs = share.nonzero().view(-1)
        share, token = share[pairs].to(exact), winners[:, terms].t().reshape(-1)[pairs]
        term = torch.div(pairs, texts, rounding_mode="floor").to(torch.int32)
        if for_weight is not None:
            for_weight[terms] = _sum_rows(rows, token, share, term, terms.stop - first)
        if for_tokens is not None:
            token, order = torch.sort(token, stable=True)
            for_tokens += _sum_rows(weight[terms].to(exact), term[order], share[order], token, len(rows))
    return (None if for_tokens is None else for_tokens.to(tokens.dtype), None if for_weight is None else for_weight.to(weight.dtype))


def _sum_rows(source: Tensor, row: Tensor, factor: Tensor, target: Tensor, targets: int) -> Tensor:
    """Σ factor · source[row] for each value of ``target``, which is sorted; shape (targets, columns of source)."""
    bounds = torch.arange(targets + 1, dtype=target.dtype, device=target.device)
    offsets = torch.searchsorted(target, bounds, out_int32=True)
    return F.embedding_bag(row, source, offsets, mode="sum", per_sample_weights=factor, include_last_offset=True)


def by_products(
    gradient: Tensor, tokens: Tensor, weight: Tensor, winners: Tensor, lengths: Sequence[int], needed: Sequence[bool]
) -> tuple[Tensor | None, Tensor | None]:
    """As `by_pairs`, by products with a (tokens × outputs) matrix that holds the pairs' gradients, a block at a time.

    The matrix is nearly all zeros, but if most pairs have a gradient, tensor cores multiply it faster than a GPU gathers rows. The
    arithmetic is that of stock, in the dtype of ``tokens``; sums over blocks are in at least float32.
    """
    exact = torch.promote_types(torch.promote_types(tokens.dtype, weight.dtype), torch.float32)
    for_tokens = torch.empty_like(tokens) if needed[0] else None
    for_weight = torch.zeros(weight.shape, dtype=exact, device=weight.device) if needed[1] else None
    if 0 in lengths:  # such a text has no winner
        filled = [text for text, length in enumerate(lengths) if length]
        gradient, winners, lengths = gradient[filled], winners[filled], [lengths[text] for text in filled]
    for texts, rows in _slices(lengths):
        some = tokens[rows]
        total = torch.zeros(some.shape, dtype=exact, device=some.device)
        width = _width(weight.shape[0], len(some), SPREAD)
        for first in range(0, weight.shape[0], width):
            terms = slice(first, first + width)
            token = winners[texts, terms].to(torch.int64) - rows.start
            spread = some.new_zeros(len(some), token.shape[1]).scatter_(0, token, gradient[texts, terms].to(some.dtype))
            if for_tokens is not None:
                total += spread @ weight[terms].to(some.dtype)
            if for_weight is not None:
                for_weight[terms] += spread.t() @ some
        if for_tokens is not None:
            for_tokens[rows] = total
    return for_tokens, None if for_weight is None else for_weight.to(weight.dtype)


def _slices(lengths: Sequence[int]) -> Iterator[tuple[slice, slice]]:
    """Runs of texts with at most `SLICE` tokens together, or a single longer text; each with its tokens."""
    text = start = tokens = 0
    for at, length in enumerate(lengths):
        if tokens and tokens + length > SLICE:
            yield slice(text, at), slice(start, start + tokens)
            text, start, tokens = at, start + tokens, 0
        tokens += length
    if tokens:
        yield slice(text, len(lengths)), slice(start, start + tokens)
