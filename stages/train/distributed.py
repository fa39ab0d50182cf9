"""Several processes in one training run: ranks, messages from rank 0, and losses that see every process's texts.

Every process runs the same code on its share of the rows, and gradients are averaged (DistributedDataParallel). With gathered
texts, a process's contrastive loss compares its own queries with all documents; the mean over processes is the loss of the whole
batch. The same holds for a regulariser of all embeddings. Gathering sends gradients back to the process that encoded the text.
"""

import os
import sys
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
from stages.encoders.objective import OwnNegativesLoss, RankingLoss
from stages.encoders.regularizers import Regularizer
from stages.runtime.errors import UserError
from stages.train.launch import is_worker

T = TypeVar("T")
PATIENCE = timedelta(hours=6)  # wait for rank 0, which alone reads data and evaluates; torchrun notices a process that dies
ROW_BY_ROW = SparseMarginMSELoss | SparseDistillKLDivLoss  # means over rows, which need no other process's texts


@dataclass(frozen=True)
class Processes:
    """This process and how many there are.

    Attributes:
        index: rank; rank 0 writes.
        count: number of processes on all machines.
    """

    index: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        return self.index == 0

    def from_first(self, value: T | None = None) -> T:
        """The picklable ``value`` of rank 0. The others wait for it; their own ``value`` is ignored."""
        values: list[Any] = [value]
        if self.count > 1:
            broadcast_object_list(values)
        received: T = values[0]
        return received

    def after_first(self, make: Callable[[bool], T]) -> T:
        """``make(True)`` in rank 0 and then ``make(False)`` in the others."""
        value = make(True) if self.first else None
        self.wait()
        return make(False) if value is None else value

    def wait(self) -> None:
        """Wait for all processes."""
        if self.count > 1:
            torch.distributed.barrier()


@contextmanager
def joined(expected: int, device: str) -> Iterator[Processes]:
    """Join the other processes if this one was started as one of several.

    Args:
        expected: training.num_processes.
        device: cuda, mps or cpu.

    Raises:
        UserError: there are fewer or more processes.
    """
    if not is_worker():
        if expected != 1:
            raise UserError(
                f"params.yaml: training.num_processes: is {expected}, but only one process was started; set training.launcher to torchrun"
            )
        yield Processes()
        return
    state = PartialState(cpu=device == "cpu", timeout=PATIENCE)
    processes = Processes(state.process_index, state.num_processes)
    try:
        if processes.count != expected:
            fault = f"is {expected}, but {processes.count} processes were started; set it to {processes.count}"
            raise UserError(f"params.yaml: training.num_processes: {fault}")
        warnings.filterwarnings("ignore", "`broadcast_buffers` is deprecated", FutureWarning)  # accelerate uses it itself
        with nullcontext() if processes.first else _silence():
            yield processes
    except KeyboardInterrupt:
        if not processes.first:
            os._exit(130)  # at once: rank 0 may be waiting for this process, and fails when its connection closes
        raise
    finally:
        # After Ctrl-C this would wait for processes that no longer answer.
        if torch.distributed.is_initialized() and sys.exc_info()[0] is not KeyboardInterrupt:
            torch.distributed.destroy_process_group()


@contextmanager
def _silence() -> Iterator[None]:
    """Rank 0 prints for all; only errors are printed by every process."""
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere, redirect_stdout(nowhere):
        yield


def gather_negatives(loss: nn.Module) -> None:
    """Let every term of ``loss`` that compares or averages texts see those of all processes.

    Raises:
        UserError: an unknown loss, of which some term might silently see only one process's texts.
    """
    if not isinstance(loss, SpladeLoss | CSRLoss):
        raise UserError(f"params.yaml: training.gather_negatives: must be false with {type(loss).__name__}; set it to false")
    warnings.filterwarnings("ignore", r"torch\.distributed\.nn\.functional", FutureWarning)
    ranking = [loss.loss.contrastive, loss.loss.distillation] if isinstance(loss.loss, RankingLoss) else [loss.loss]
    for each in ranking:
        if isinstance(each, MultipleNegativesRankingLoss | OwnNegativesLoss):
            each.gather_across_devices = True
        elif not isinstance(each, ROW_BY_ROW | None):
            raise UserError(f"params.yaml: training.gather_negatives: must be false with {type(each).__name__}; set it to false")
    for name in ("document_regularizer", "query_regularizer", "reconstruction_loss"):
        if (term := getattr(loss, name, None)) is not None:
            if not isinstance(term, Regularizer | ReconstructionLoss):
                raise UserError(f"params.yaml: training.gather_negatives: must be false with {type(term).__name__}; set it to false")
            term.gathers = True
    for module in loss.modules():
        if isinstance(module, SparseAutoEncoder):
            module.register_forward_hook(lambda module, *_: share_activity(module) if module.training else None)


def share_activity(model: nn.Module) -> None:
    """Count a CSR latent's inactive steps from when any process last saw it active."""
    for module in model.modules():
        if isinstance(module, SparseAutoEncoder) and torch.distributed.is_initialized():
            torch.distributed.all_reduce(module.stats_last_nonzero, torch.distributed.ReduceOp.MIN)


def freeze_unused(model: SparseEncoder, columns: Sequence[dict[str, Any]]) -> None:
    """Freeze the parameters that the embeddings of ``columns`` do not use, such as a pooler under mean pooling.

    They get no gradient, for which DistributedDataParallel would wait.
    """
    model.eval()
    for column in columns:
        model(column)["sentence_embedding"].sum().backward()
    for parameter in model.parameters():
        parameter.requires_grad_(parameter.requires_grad and parameter.grad is not None)
    model.zero_grad()
    model.train()


class OwnDropout(TrainerCallback):
    """Seeds each process differently; the trainer gives all the same seed, and so the same dropout masks."""

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        set_seed(args.seed + args.process_index)
