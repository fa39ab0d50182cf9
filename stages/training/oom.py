"""Out of memory, in one line: what was being tried, and what to turn first."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from stages.errors import UserError

SAID = (  # by errors that are no torch.OutOfMemoryError: CPU, MPS, CUDA's libraries
    "can't allocate memory",
    "DefaultCPUAllocator",
    "MPS backend out of memory",
    "CUDA out of memory",
    "CUDA error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "could not create a primitive",  # oneDNN
)


@dataclass
class Attempt:
    """What a training step is trying; told by the trainer as it begins one.

    Attributes:
        device: cuda, mps or cpu.
        checkpointing: whether activations are computed twice instead of kept.
        rows: texts of a column.
        lengths: tokens of the longest text of each column, in the loss's order.
        evaluating: whether a validation set is being scored instead.
        dimensions: of an embedding: the vocabulary, or CSR's latents; None if not known.
        mini_batches: whether texts are encoded a few at a time (GradCache), which excludes checkpointing.
    """

    device: str
    checkpointing: bool
    rows: int = 0
    lengths: Sequence[int] = ()
    dimensions: int | None = None
    mini_batches: bool = False
    evaluating: bool = False

    def see(self, features: Sequence[dict[str, Any]]) -> None:
        """Take note of the columns that the loss is about to get."""
        masks = [column["attention_mask"] for column in features if "attention_mask" in column]
        self.rows = max((len(mask) for mask in masks), default=0)
        self.lengths = [int(mask.shape[-1]) for mask in masks]

    def __str__(self) -> str:
        if self.evaluating:
            return f"while scoring training.eval_sets on {self.device}"
        if not self.lengths:
            return f"before the first step, on {self.device}"
        lengths = " + ".join(map(str, self.lengths))
        width = f", vocabulary {self.dimensions}" if self.dimensions else ""
        return f"with {self.rows} rows of {lengths} tokens{width} on {self.device}"

    def remedy(self) -> str:
        """The two knobs to turn first: those that cost no quality, as far as there are such."""
        if self.evaluating:
            return "halve evaluation.per_device_eval_batch_size, then model.max_seq_length"
        if self.mini_batches:
            return "halve training.mini_batch_size, then training.per_device_train_batch_size"
        if not self.checkpointing:
            return "set training.gradient_checkpointing=true, then halve training.per_device_train_batch_size"
        return "halve training.per_device_train_batch_size, then model.max_seq_length"


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says, in whatever way, that there is no memory left."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in SAID)


@contextmanager
def in_one_line(attempt: Attempt) -> Iterator[None]:
    """Turn an error that says so into one line on ``attempt``; others pass.

    Raises:
        UserError: there is no memory left.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise UserError(f"training: out of memory {attempt}; {attempt.remedy()}") from error
