"""Full float32 matrix products, also if training on CUDA uses TF32."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def full_float32() -> Iterator[None]:
    """While it lasts, products of float32 on CUDA, those of `triton_maxima` too, do without TF32; then all is as it was before."""
    matmul = torch.backends.cuda.matmul
    before = matmul.fp32_precision
    matmul.fp32_precision = "ieee"
    try:
        yield
    finally:
        matmul.fp32_precision = "none"  # as torch.backends.fp32_precision says, which a trainer sets
        if matmul.fp32_precision != before:
            matmul.fp32_precision = before
