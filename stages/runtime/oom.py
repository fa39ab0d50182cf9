"""Out of memory, on every device, as one line; and no other error."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from stages.runtime.errors import UserError

SAID = (  # by errors that are no torch.OutOfMemoryError: CPU, MPS, CUDA's libraries
    "can't allocate memory",
    "DefaultCPUAllocator",
    "MPS backend out of memory",
    "CUDA out of memory",
    "CUDA error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "could not create a primitive",  # oneDNN
    "bad_alloc",  # C++, as torch hands it on
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says, in whatever way, that there is no memory left."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in SAID)


@contextmanager
def in_one_line(attempt: object) -> Iterator[None]:
    """Turn an error that says so into one line, ``str(attempt)`` at that moment: what was being tried, what to turn first.

    Raises:
        UserError: there is no memory left.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise UserError(str(attempt)) from error
