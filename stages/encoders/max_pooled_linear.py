"""A linear map followed by a max over each text's tokens, without the (tokens × outputs) matrix between the two.

The SPLADE head's logits take batch × length × vocabulary numbers, twice, and only one token in each text and term
counts. Here the map is made in blocks of terms, each block is reduced to its maxima at once, and the backward pass goes
through the winning tokens only: a weighted sum of rows, once of the weight (for the hidden states) and once of the
hidden states (for the weight). Only operations that CPU, CUDA and MPS all have; the maxima can be made by other means
(`Maxima`, such as `triton_maxima`).

On CPU, float32, 32 texts of 64 to 256 tokens, 50,000 terms, hidden size 768: the matrix product takes 3.1 core seconds,
the maxima 0.4, the backward pass 0.9 if every term is active and 0.2 if 3% are; stock takes 22.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

BLOCK = {"cpu": 1 << 23, "cuda": 1 << 26}  # logits alive at a time; on CPU 2^22 to 2^26 take the same time
PAIRS = 1 << 20  # (text, term) pairs that the backward pass takes at a time: a few vectors of this size
RUN = 8  # tokens in a run of the two-step maximum: 8 took 0.39 s where 4 took 0.43, 16 took 0.52 and one step 0.56

Maxima = Callable[[Tensor, Tensor, Sequence[int], Tensor | None], Tensor]  # as `in_blocks`


def max_pooled_linear(tokens: Tensor, weight: Tensor, lengths: Sequence[int], maxima: Maxima | None = None) -> Tensor:
    """The largest ``tokens @ weight.T`` of each text, for each output.

    Args:
        tokens: (sum of lengths, hidden), the texts one after the other; its dtype is that of the product.
        weight: (outputs, hidden), of any floating dtype.
        lengths: tokens of each text; 0 is allowed.
        maxima: makes the maxima; None: `in_blocks`.

    Returns:
        (texts, outputs), in the dtype of ``tokens``; −inf for a text of no tokens. Differentiable once in both tensors;
        among equal maxima one token gets the gradient.
    """
    if torch.is_grad_enabled() and (tokens.requires_grad or weight.requires_grad):
        pooled: Tensor = _MaxPooledLinear.apply(tokens, weight, lengths, maxima or in_blocks)
        return pooled
    return (maxima or in_blocks)(tokens, weight, lengths, None)


class _MaxPooledLinear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tokens: Tensor, weight: Tensor, lengths: Sequence[int], maxima: Maxima) -> Tensor:
        winners = torch.zeros(len(lengths), weight.shape[0], dtype=torch.int32, device=tokens.device)
        pooled = maxima(tokens, weight, lengths, winners)
        ctx.save_for_backward(tokens, weight, winners)
        return pooled

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        tokens, weight, winners = ctx.saved_tensors
        return *_backward(gradient, tokens, weight, winners, ctx.needs_input_grad[:2]), None, None


def in_blocks(tokens: Tensor, weight: Tensor, lengths: Sequence[int], winners: Tensor | None) -> Tensor:
    """The maxima, a block of terms at a time; the rows of ``tokens`` that made them go to ``winners``, where given.

    Args:
        tokens, weight, lengths: as `max_pooled_linear`.
        winners: int32, zeros, shape (texts, outputs).
    """
    outputs = weight.shape[0]
    pooled = tokens.new_full((len(lengths), outputs), float("-inf"))
    if not len(tokens):
        return pooled
    width = min(outputs, max(512, BLOCK.get(tokens.device.type, BLOCK["cuda"]) // len(tokens) // 64 * 64))
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


def _max_over_rows(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Largest value and its row, for each column.

    On CPU torch's maximum is three times slower with the row than without. So: the maxima of runs of rows first, then
    only the winning run is searched.
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


def _backward(
    gradient: Tensor, tokens: Tensor, weight: Tensor, winners: Tensor, needed: Sequence[bool]
) -> tuple[Tensor | None, Tensor | None]:
    """Gradients of tokens and weight, in at least float32, through the pairs whose gradient is not zero."""
    exact = torch.promote_types(torch.promote_types(tokens.dtype, weight.dtype), torch.float32)
    texts, outputs = winners.shape
    rows = tokens.to(exact)
    for_tokens = torch.zeros_like(rows) if needed[0] else None
    for_weight = torch.empty(weight.shape, dtype=exact, device=weight.device) if needed[1] else None
    width = max(1, PAIRS // texts)
    for first in range(0, outputs, width):
        terms = slice(first, min(first + width, outputs))
        # Term by term, so that the pairs of a term lie together; each text appears at most once in it.
        share = gradient[:, terms].t().reshape(-1)
        pairs = share.nonzero().view(-1)
        share, token = share[pairs].to(exact), winners[:, terms].t().reshape(-1)[pairs]
        term = torch.div(pairs, texts, rounding_mode="floor").to(torch.int32)
        if for_weight is not None:
            for_weight[terms] = _sum_rows(rows, token, share, term, terms.stop - first)
        if for_tokens is not None:
            token, order = torch.sort(token, stable=True)
            for_tokens += _sum_rows(weight[terms].to(exact), term[order], share[order], token, len(rows))
    return (
        None if for_tokens is None else for_tokens.to(tokens.dtype),
        None if for_weight is None else for_weight.to(weight.dtype),
    )


def _sum_rows(source: Tensor, row: Tensor, factor: Tensor, target: Tensor, targets: int) -> Tensor:
    """Σ factor · source[row] for each value of ``target``, which is sorted; (targets, columns of source)."""
    bounds = torch.arange(targets + 1, dtype=target.dtype, device=target.device)
    offsets = torch.searchsorted(target, bounds, out_int32=True)
    return F.embedding_bag(row, source, offsets, mode="sum", per_sample_weights=factor, include_last_offset=True)
