"""Full float32 matrix products on CUDA, even if training uses TF32."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def full_float32() -> Iterator[None]:
    """Turn TF32 off for float32 products on CUDA within the context, including those of `triton_maxima`; restore the setting after it."""
    matmul = torch.backends.cuda.matmul
    before = matmul.fp32_precision
    matmul.fp32_precision = "ieee"
    try:
        yield
    finally:
        matmul.fp32_precision = "none"  # follow torch.backends.fp32_precision, which a trainer sets
        if matmul.fp32_precision != before:
            matmul.fp32_precision = before
