"""The maxima of `max_pooled_linear` as one Triton kernel: logits stay in registers and are never written to the GPU's memory.

A program handles one text and a block of terms: it loops over blocks of the text's tokens and keeps the largest logit of each term and its
row. Programs for the same terms run one after another, so that the terms' weights are read from memory once.

`benchmarks/gpu` checks and measures it on a card (done on an H100); `test_triton_maxima.py` interprets and compiles it without one.
"""

from collections.abc import Sequence

import torch
import triton
import triton.language as tl
from torch import Tensor

from stages.encoders.fast.full_float32 import full_float32
from stages.encoders.fast.max_pooled_linear import in_blocks

TOKENS, TERMS = 64, 128  # logits of a program at a time
MORE_TERMS = 256  # on Hopper and Blackwell's large cards, which have the shared memory: 1.77 ms on an H100, 1.94 ms with 128
OPTIONS = {"num_warps": 8, "num_stages": 3}


@triton.jit
def kernel(  # type: ignore[no-untyped-def]
    tokens, weight, starts, pooled, winners, outputs, hidden,
    TOKENS: tl.constexpr, TERMS: tl.constexpr, WIDTH: tl.constexpr, PRECISION: tl.constexpr, WINNERS: tl.constexpr,
):  # fmt: skip
    """Maxima over one text's tokens for one block of terms and, with ``WINNERS``, the rows that have them."""
    text = tl.program_id(0)
    start, end = tl.load(starts + text), tl.load(starts + text + 1)
    terms = tl.program_id(1) * TERMS + tl.arange(0, TERMS)
    parts = tl.arange(0, WIDTH)
    largest = tl.full([TERMS], float("-inf"), tl.float32)
    nan = tl.zeros([TERMS], tl.int32)
    winner = tl.zeros([TERMS], tl.int32)
    for first in range(start, end, TOKENS):
        rows = first + tl.arange(0, TOKENS)
        logits = tl.zeros([TOKENS, TERMS], tl.float32)
        for part in range(0, hidden, WIDTH):
            inside = part + parts < hidden
            left = tl.load(
                tokens + rows.to(tl.int64)[:, None] * hidden + part + parts[None, :], (rows < end)[:, None] & inside[None, :], 0.0
            )
            right = tl.load(
                weight + terms.to(tl.int64)[None, :] * hidden + part + parts[:, None], (terms < outputs)[None, :] & inside[:, None], 0.0
            )
            logits = tl.dot(left, right, logits, input_precision=PRECISION)
        nan |= tl.max((logits != logits).to(tl.int32), 0)
        logits = tl.where((rows < end)[:, None], logits, float("-inf"))
        values, places = tl.max(logits, 0, return_indices=True)
        winner = tl.where(values > largest, first + places, winner)
        largest = tl.maximum(values, largest)
    largest = tl.where(nan > 0, float("nan"), largest)
    place = text.to(tl.int64) * outputs + terms
    tl.store(pooled + place, largest.to(pooled.dtype.element_ty), terms < outputs)
    if WINNERS:
        tl.store(winners + place, winner, terms < outputs)


def width(bytes_each: int) -> int:
    """Hidden dimensions per step of the product: 64 in bf16, so that its operands fit the shared memory of small cards."""
    return 128 // bytes_each


def terms_of(device: torch.device) -> int:
    """Terms per program."""
    return MORE_TERMS if device.type == "cuda" and torch.cuda.get_device_capability(device)[0] in (9, 10) else TERMS


def triton_maxima(tokens: Tensor, weight: Tensor, lengths: Sequence[int], winners: Tensor | None) -> Tensor:
    """As `max_pooled_linear.in_blocks`, for float32, bfloat16 or float16 tokens; sums in float32 (TF32 products if torch allows them)."""
    outputs, hidden = weight.shape
    pooled = tokens.new_empty(len(lengths), outputs)
    if not pooled.numel():
        return pooled
    starts = torch.tensor([0, *lengths]).cumsum(0).to(tokens.device, torch.int32)
    tf32 = tokens.dtype == torch.float32 and torch.backends.cuda.matmul.fp32_precision == "tf32"
    terms = terms_of(tokens.device)
    kernel[(len(lengths), triton.cdiv(outputs, terms))](
        tokens.contiguous(), weight.to(tokens.dtype).contiguous(), starts, pooled, pooled if winners is None else winners, outputs, hidden,
        TOKENS=TOKENS, TERMS=terms, WIDTH=width(tokens.element_size()), PRECISION="tf32" if tf32 else "ieee",
        WINNERS=winners is not None, **OPTIONS,
    )  # fmt: skip
    return pooled


def obstacle(device: str, dtype: torch.dtype) -> str:
    """Why the kernel cannot be used on ``device``, for tokens of ``dtype`` or for float32 (evaluation); empty if it can."""
    lengths, generator = [70, 0, 1, 9], torch.Generator().manual_seed(0)
    tokens, weight = (torch.randn(rows, 48, generator=generator).to(device) for rows in (sum(lengths), 300))
    try:
        for each in {torch.float32, dtype}:
            for winners in (None, torch.zeros(len(lengths), len(weight), dtype=torch.int32, device=device)):
                with full_float32():
                    expected = in_blocks(tokens.to(each), weight, lengths, None)
                    torch.testing.assert_close(triton_maxima(tokens.to(each), weight, lengths, winners), expected, equal_nan=True)
    except Exception as error:  # from Triton, its compilers or the driver
        return f"its probe failed: {type(error).__name__}: {' '.join(str(error).split())[:200]}"
    return ""
