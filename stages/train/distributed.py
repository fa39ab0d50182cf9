"""The processes of one training: who this one is, what the first tells the others, and losses that see the batch of all.

Every process runs the same code on its share of a batch; the gradients are averaged (DistributedDataParallel). The mean
over processes of a contrastive loss over own queries and everybody's documents is the loss of the whole batch; so is that
of a regulariser of everybody's embeddings. Gathering passes gradients back to the process that a text is with.
"""

import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, redirect_stdout
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import torch
import torch.distributed.nn  # sentence-transformers uses it without importing it
from accelerate import PartialState
from accelerate.utils import broadcast_object_list
from sentence_transformers import SparseEncoder
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
from sentence_transformers.sparse_encoder.losses import CSRLoss, SparseDistillKLDivLoss, SparseMarginMSELoss, SpladeLoss
from sentence_transformers.sparse_encoder.modules import SparseAutoEncoder
from torch import nn
from transformers import TrainerCallback, set_seed

from stages.encoders.csr import ReconstructionLoss
from stages.encoders.regularizers import Regularizer
from stages.runtime.errors import UserError
from stages.train.launch import is_worker

T = TypeVar("T")
PATIENCE = timedelta(hours=6)  # with the first process, which alone reads data and evaluates; torchrun notices one that has died
ROW_BY_ROW = (SparseMarginMSELoss, SparseDistillKLDivLoss)  # losses of one row at a time: their mean needs nobody else's texts


@dataclass(frozen=True)
class Processes:
    """This process among those of the training.

    Attributes:
        index: 0 is the first, the one that writes.
        count: of all machines.
    """

    index: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        return self.index == 0

    def from_first(self, value: T | None = None) -> T:
        """The ``value`` that the first process gives; picklable. The others wait for it, and what they give does not count."""
        values: list[Any] = [value]
        if self.count > 1:
            broadcast_object_list(values)
        received: T = values[0]
        return received

    def after_first(self, make: Callable[[bool], T]) -> T:
        """``make(True)`` in the first process and then, in the others, ``make(False)``."""
        value = make(True) if self.first else None
        self.wait()
        return make(False) if value is None else value

    def wait(self) -> None:
        """Go on when all processes are here."""
        if self.count > 1:
            torch.distributed.barrier()


@contextmanager
def joined(expected: int, device: str) -> Iterator[Processes]:
    """Meet the other processes, where this one was started as one of several.

    Args:
        expected: processes that params.yaml speaks of.
        device: cuda, mps or cpu.

    Raises:
        UserError: there are fewer or more processes.
    """
    if not is_worker():
        if expected != 1:
            raise UserError(f"params.yaml: training.num_processes: is {expected}, and this is one process; set training.launcher: torchrun")
        yield Processes()
        return
    state = PartialState(cpu=device == "cpu", timeout=PATIENCE)
    processes = Processes(state.process_index, state.num_processes)
    try:
        if processes.count != expected:
            said = f"is {expected}, and {processes.count} processes were started; set it to that"
            raise UserError(f"params.yaml: training.num_processes: {said}")
        warnings.filterwarnings("ignore", "`broadcast_buffers` is deprecated", FutureWarning)  # accelerate's own doing
        with nullcontext() if processes.first else _silence():
            yield processes
    finally:
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()


@contextmanager
def _silence() -> Iterator[None]:
    """Rank 0 prints for all; only errors are printed by every process."""
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere, redirect_stdout(nowhere):
        yield


def gather_negatives(loss: nn.Module) -> None:
    """Let every term of ``loss`` that compares or averages texts see those of all processes.

    Raises:
        UserError: a loss that is not known here: some term might silently see one process's texts only.
    """
    if not isinstance(loss, SpladeLoss | CSRLoss):
        raise UserError(f"params.yaml: training.gather_negatives: is not possible with {type(loss).__name__}; set it to false")
    warnings.filterwarnings("ignore", r"torch\.distributed\.nn\.functional", FutureWarning)
    if isinstance(loss.loss, MultipleNegativesRankingLoss):
        loss.loss.gather_across_devices = True
    elif not isinstance(loss.loss, ROW_BY_ROW):
        raise UserError(f"params.yaml: training.gather_negatives: is not possible with {type(loss.loss).__name__}; set it to false")
    for name in ("document_regularizer", "query_regularizer", "reconstruction_loss"):
        if (term := getattr(loss, name, None)) is not None:
            if not isinstance(term, Regularizer | ReconstructionLoss):
                raise UserError(f"params.yaml: training.gather_negatives: is not possible with {type(term).__name__}; set it to false")
            term.gathers = True
    for module in loss.modules():
        if isinstance(module, SparseAutoEncoder):
            module.register_forward_hook(lambda module, *_: share_activity(module) if module.training else None)


def share_activity(model: nn.Module) -> None:
    """A latent of CSR is as long dead as the process says that has seen it last."""
    for module in model.modules():
        if isinstance(module, SparseAutoEncoder) and torch.distributed.is_initialized():
            torch.distributed.all_reduce(module.stats_last_nonzero, torch.distributed.ReduceOp.MIN)


def freeze_unused(model: SparseEncoder, columns: Sequence[dict[str, Any]]) -> None:
    """Freeze the parameters that have no part in the embeddings of ``columns``, such as a pooler that mean pooling leaves out.

    They are not trained in any case, and DistributedDataParallel would wait for their gradients.
    """
    model.eval()
    for column in columns:
        model(column)["sentence_embedding"].sum().backward()
    for parameter in model.parameters():
        parameter.requires_grad_(parameter.requires_grad and parameter.grad is not None)
    model.zero_grad()
    model.train()


class OwnDropout(TrainerCallback):
    """Gives each process random numbers of its own; the trainer seeds all alike, and their dropout masks would be the same."""

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        set_seed(args.seed + args.process_index)
