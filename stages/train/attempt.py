"""What a training step is doing, and which settings to change first if memory runs out (`oom.memory_errors`)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass
class Attempt:
    """What the current step is doing; the trainer updates it.

    Attributes:
        device: cuda, mps or cpu.
        checkpointing: whether activations are recomputed instead of stored, or need not be stored at all (csr's frozen base).
        rows: texts of a column.
        lengths: tokens of the longest text of each column, in the loss's order.
        dimensions: of an embedding: the vocabulary, or CSR's latents; None if unknown.
        mini_batches: whether texts are encoded in mini-batches (GradCache), which excludes checkpointing.
        evaluating: whether a validation set is being scored instead.
    """

    device: str
    checkpointing: bool
    rows: int = 0
    lengths: Sequence[int] = ()
    dimensions: int | None = None
    mini_batches: bool = False
    evaluating: bool = False

    def see(self, features: Sequence[dict[str, Any]]) -> None:
        """Record the shapes of the columns that the loss is about to get."""
        shapes = [shape for column in features if (shape := _shape(column))]
        self.rows = max((rows for rows, _ in shapes), default=0)
        self.lengths = [length for _, length in shapes]

    def __str__(self) -> str:
        return f"training: out of memory {self.doing()}; {self.remedy()}"

    def doing(self) -> str:
        if self.evaluating:
            return f"while scoring training.eval_sets on {self.device}"
        if not self.lengths:
            return f"before the first step, on {self.device}"
        lengths = " + ".join(map(str, self.lengths))
        width = f", vocabulary {self.dimensions}" if self.dimensions else ""
        return f"with {self.rows} rows of {lengths} tokens{width} on {self.device}"

    def remedy(self) -> str:
        """The two settings to change first; those that do not lower quality come before others."""
        if self.evaluating:
            return "halve evaluation.per_device_eval_batch_size, then model.max_seq_length"
        if self.mini_batches:
            return "halve training.mini_batch_size, then training.per_device_train_batch_size"
        if self.lengths and not self.checkpointing:
            return "set training.gradient_checkpointing=true, then halve training.per_device_train_batch_size"
        return "halve training.per_device_train_batch_size, then model.max_seq_length"


def _shape(column: dict[str, Any]) -> tuple[int, int] | None:
    """Number of texts and tokens of the longest; None if unknown. Flash attention concatenates the texts into one row."""
    if "cu_seq_lens_q" in column:
        return len(column["cu_seq_lens_q"]) - 1, int(column["max_length_q"])
    return tuple(column["attention_mask"].shape) if "attention_mask" in column else None
