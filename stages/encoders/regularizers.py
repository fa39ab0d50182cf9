"""Sparsity regularisers, and a controller that can steer each to a target number of active dimensions.

FLOPS: Paria et al. 2020, "Minimizing FLOPs to Learn Efficient Sparse Representations" (arXiv 2004.05665), as sentence-transformers has it.
L1: Zamani et al. 2018, "From Neural Re-Ranking to Neural Ranking" (doi 10.1145/3269206.3271800). DF-FLOPS: see `DfFlopsLoss`.

To add one, write a class with sentence-transformers' ``compute_loss_from_embeddings(embeddings) -> scalar``, enter it in `REGULARIZERS`
and add its name to ``Loss.regularizer`` in stages/config/schema.py; a different one for queries and documents is a pair of `PAIRS`.
"""

import math
from collections.abc import Callable

import torch
from sentence_transformers import SparseEncoder
from sentence_transformers.sparse_encoder.losses import FlopsLoss
from sentence_transformers.util import all_gather_with_grad
from torch import Tensor, nn

GAIN = 2.0  # proportional gain of the controller
RAMP = 0.4  # share of the steering during which the active dimensions come down to the target
RECENT = 0.1  # weight of the last batch in the running means


class L1Loss(nn.Module):
    """Mean L1 norm of the rows: a dimension costs the same whether one row of the batch uses it or all do."""

    def compute_loss_from_embeddings(self, embeddings: Tensor) -> Tensor:
        """The loss, a scalar, of non-negative embeddings of shape (rows, dimensions)."""
        return embeddings.sum(dim=1).mean()


class DfFlopsLoss(nn.Module):
    """FLOPS with each dimension weighted by its document frequency: frequent terms, which have the longest posting lists, cost most.

    Porco et al. 2025, "An Alternative to FLOPS Regularization to Effectively Productionize SPLADE-Doc" (arXiv 2505.15070). The paper counts
    frequencies on a validation corpus every 100 steps; here they are a running mean over the training batches.

    Args:
        alpha: document frequency, as a share of the rows, at which the weight is 1/2.
        beta: steepness of the weight there.
    """

    MOMENTUM = 0.99

    def __init__(self, alpha: float = 0.1, beta: float = 10.0) -> None:
        super().__init__()
        self.exponent, self.beta = math.log(2) / math.log(alpha), beta
        self.frequency: Tensor
        self.batches: Tensor
        self.register_buffer("frequency", torch.zeros(0))  # resized at the first batch
        self.register_buffer("batches", torch.zeros((), dtype=torch.long))

    def compute_loss_from_embeddings(self, embeddings: Tensor) -> Tensor:
        """The loss, a scalar, of non-negative embeddings of shape (rows, dimensions); with gradients on it updates the frequencies."""
        if not len(self.frequency):
            self.frequency.resize_(embeddings.shape[1]).zero_()
        if torch.is_grad_enabled():
            self.batches += 1
            share = (embeddings.detach() > 0).float().mean(dim=0)
            self.frequency.lerp_(share, (1 / self.batches).clamp(min=1 - self.MOMENTUM))  # at first the plain mean
        return (self.weight() * embeddings.mean(dim=0)).square().sum()

    def weight(self) -> Tensor:
        """Weight of each dimension, shape (dimensions,): 0 if no row uses it, 1/2 at the frequency alpha, 1 if all rows use it."""
        return 1 / (1 + (self.frequency.clamp(min=1e-9) ** self.exponent - 1) ** self.beta)


class Regularizer(nn.Module):
    """A regulariser that counts active dimensions and, given a target, steers the weight of its loss towards it.

    The steering is a PI controller on the logarithm of ``factor``, which multiplies the loss. Its error is log(active dimensions /
    setpoint). The setpoint comes down from the number at the first step of the steering to the target, in equal ratios: the full error at
    once raises the factor so far that texts of a dense base lose all their dimensions.

    Attributes:
        active_dims: running mean of a row's active dimensions; NaN before the first batch.
        active_dims_logged: ``active_dims`` at the last logging step; NaN before the first.
        empty: running share of rows without any active dimension.
        without_dropout: ratio of active dimensions without dropout to those with it, at the last `calibrate`.
        factor: multiplies the loss; 1 unless steered.
        integral: integral part of log(factor).
        start: active dimensions at the first step of the steering; 0 before it.
        dimensions: of the embeddings; 0 before the first batch.
        gathers: whether the loss is computed over the embeddings of all processes.
    """

    active_dims: Tensor
    active_dims_logged: Tensor
    empty: Tensor
    without_dropout: Tensor
    factor: Tensor
    integral: Tensor
    start: Tensor
    gathers = False

    def __init__(self, regularizer: nn.Module, target: int | None = None) -> None:
        super().__init__()
        self.regularizer, self.target, self.dimensions = regularizer, target, 0
        self.register_buffer("active_dims", torch.tensor(math.nan))
        self.register_buffer("active_dims_logged", torch.tensor(math.nan))
        for name, value in {"empty": 0.0, "without_dropout": 1.0, "factor": 1.0, "integral": 0.0, "start": 0.0}.items():
            self.register_buffer(name, torch.tensor(value))

    def compute_loss_from_embeddings(self, embeddings: Tensor) -> Tensor:
        """The regulariser's loss times ``factor``, for embeddings of shape (rows, dimensions)."""
        if self.gathers:
            embeddings = all_gather_with_grad(embeddings)
        if torch.is_grad_enabled():
            self._measure(embeddings.detach())
        loss: Tensor = self.regularizer.compute_loss_from_embeddings(embeddings)  # type: ignore[operator]
        return loss if self.target is None else loss * self.factor

    @torch.no_grad()
    def _measure(self, embeddings: Tensor) -> None:
        self.dimensions = embeddings.shape[1]
        active = (embeddings > 0).sum(dim=1).float()
        first = self.active_dims.isnan()
        for running, batch in ((self.active_dims, active.mean()), (self.empty, (active == 0).float().mean())):
            running.copy_(torch.where(first, batch, running.lerp(batch, RECENT)))

    @torch.no_grad()
    def calibrate(self, active_dims: float) -> None:
        """Set ``without_dropout`` from the number of active dimensions without dropout, which is that of the finished model."""
        self.without_dropout.copy_(active_dims / self.active_dims.clamp(min=0.1))

    @torch.no_grad()
    def steer(self, rate: float, progress: float = 1.0) -> None:
        """Update ``factor`` with the integral gain ``rate``; does nothing without a target or before the first batch.

        Args:
            progress: share of the steering that is over, from 0 to 1.
        """
        if self.target is None or self.active_dims.isnan():
            return
        active = (self.active_dims * self.without_dropout).clamp(min=0.1)
        if not self.start:
            self.start.copy_(active)
        left = (self.start / self.target).log().clamp(min=0) * max(0.0, 1 - progress / RAMP)
        error = ((active / self.target).log() - left).clamp(-2, 2)
        self.integral.add_(rate * error).clamp_(-12, 12)
        self.factor.copy_((self.integral + GAIN * error).exp())


REGULARIZERS: dict[str, Callable[[SparseEncoder], nn.Module]] = {
    "flops": FlopsLoss,
    "l1": lambda _: L1Loss(),
    "df_flops": lambda _: DfFlopsLoss(),
}

PAIRS: dict[str, tuple[str, str]] = {"l1_flops": ("l1", "flops")}
"""Values of ``loss.regularizer`` that name a regulariser each for queries and documents.

``l1_flops``: Lassance and Clinchant 2022, "An Efficiency Study for SPLADE Models" (arXiv 2207.03834). A query has no posting lists to
balance: the cost of a search grows with each of its dimensions.
"""


def make_regularizer(name: str, model: SparseEncoder, target: int | None) -> Regularizer:
    """One of `REGULARIZERS` for the embeddings of ``model``, steered to ``target`` active dimensions unless that is None or 0."""
    return Regularizer(REGULARIZERS[name](model), target or None)
