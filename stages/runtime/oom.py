"""Out of memory, on any device, as a one-line error."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from stages.runtime.errors import UserError

MESSAGES = (  # of errors that are not a torch.OutOfMemoryError: CPU, MPS, CUDA's libraries
    "can't allocate memory",
    "DefaultCPUAllocator",
    "MPS backend out of memory",
    "CUDA out of memory",
    "CUDA error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "could not create a primitive",  # oneDNN
    "bad_alloc",  # C++
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that memory ran out."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in MESSAGES)


@contextmanager
def memory_errors(attempt: object) -> Iterator[None]:
    """Turn an out-of-memory error into a `UserError` with the message ``str(attempt)``: what was being done, what to change first."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise UserError(str(attempt)) from error
