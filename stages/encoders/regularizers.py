"""What keeps a representation sparse: FLOPS, L1 and DF-FLOPS, each measured while it works and, on wish, steered.

All have sentence-transformers' form of a regulariser: ``compute_loss_from_embeddings(embeddings) -> scalar``.
"""

import math

import torch
from sentence_transformers import SparseEncoder
from sentence_transformers.sparse_encoder.losses import FlopsLoss
from sentence_transformers.util import all_gather_with_grad
from torch import Tensor, nn

GAIN, RECENT = 2.0, 0.1  # of the controller: proportional share of the error, weight of the last batch


class L1Loss(nn.Module):
    """Mean L1 norm of the rows: every active dimension costs the same, however often the batch uses it."""

    def compute_loss_from_embeddings(self, embeddings: Tensor) -> Tensor:
        """The loss, a scalar, of non-negative embeddings of shape (rows, dimensions)."""
        return embeddings.sum(dim=1).mean()


class DfFlopsLoss(nn.Module):
    """FLOPS with each dimension weighted by its document frequency: terms that most rows share, and so long posting lists, cost most.

    Porco et al. 2025, "An Alternative to FLOPS Regularization to Effectively Productionize SPLADE-Doc" (arXiv 2505.15070). Its frequencies
    come from a validation corpus every 100 steps; ours are a running mean over the training batches.

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
        self.register_buffer("frequency", torch.zeros(0))  # as long as the embeddings, from the first batch on
        self.register_buffer("batches", torch.zeros((), dtype=torch.long))

    def compute_loss_from_embeddings(self, embeddings: Tensor) -> Tensor:
        """The loss, a scalar, of non-negative embeddings of shape (rows, dimensions); in training they count for the frequencies."""
        if not len(self.frequency):
            self.frequency.resize_(embeddings.shape[1]).zero_()
        if torch.is_grad_enabled():
            self.batches += 1
            share = (embeddings.detach() > 0).float().mean(dim=0)
            self.frequency.lerp_(share, (1 / self.batches).clamp(min=1 - self.MOMENTUM))  # the plain mean while batches are few
        return (self.weight() * embeddings.mean(dim=0)).square().sum()

    def weight(self) -> Tensor:
        """0 for a dimension that no row uses, 1/2 at the frequency alpha, 1 for one that all rows use; shape (dimensions,)."""
        return 1 / (1 + (self.frequency.clamp(min=1e-9) ** self.exponent - 1) ** self.beta)


class Regularizer(nn.Module):
    """A regulariser that counts active dimensions and can be steered to a number of them.

    The controller works on the logarithm of ``factor``, by which the loss is multiplied: ``steer`` adds a share of the error,
    log(active dimensions / target), to a sum that lasts (integral part), and another share for this step only (proportional part).

    Attributes:
        active_dims: running mean of the number of active dimensions of a row; NaN before the first batch.
        active_dims_logged: what it was when it was last looked at; NaN before.
        empty: running share of rows without any.
        dimensions: of the embeddings; 0 before the first batch.
        without_dropout: number of active dimensions without dropout over that with dropout, as last calibrated.
        factor: what the loss is multiplied by; 1 unless steered.
        gathers: whether the embeddings are those of all processes.
    """

    gathers = False

    def __init__(self, regularizer: nn.Module, target: int | None = None) -> None:
        super().__init__()
        self.regularizer, self.target, self.dimensions = regularizer, target, 0
        self.active_dims: Tensor
        self.active_dims_logged: Tensor
        self.empty: Tensor
        self.without_dropout: Tensor
        self.factor: Tensor
        self.integral: Tensor
        self.register_buffer("active_dims", torch.tensor(math.nan))
        self.register_buffer("active_dims_logged", torch.tensor(math.nan))
        self.register_buffer("empty", torch.tensor(0.0))
        self.register_buffer("without_dropout", torch.tensor(1.0))
        self.register_buffer("factor", torch.tensor(1.0))
        self.register_buffer("integral", torch.tensor(0.0))

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
        self.active_dims.copy_(torch.where(first, active.mean(), self.active_dims.lerp(active.mean(), RECENT)))
        self.empty.copy_(torch.where(first, (active == 0).float().mean(), self.empty.lerp((active == 0).float().mean(), RECENT)))

    @torch.no_grad()
    def calibrate(self, active_dims: float) -> None:
        """Note what the number of active dimensions is without dropout, as the finished model will have it."""
        self.without_dropout.copy_(active_dims / self.active_dims.clamp(min=0.1))

    @torch.no_grad()
    def steer(self, rate: float) -> None:
        """Move ``factor`` towards the target, with ``rate`` as the integral share; without a target or a measured batch nothing."""
        if self.target is None or self.active_dims.isnan():
            return
        error = ((self.active_dims * self.without_dropout).clamp(min=0.1) / self.target).log().clamp(-2, 2)
        self.integral.add_(rate * error).clamp_(-12, 12)
        self.factor.copy_((self.integral + GAIN * error).exp())


def make_regularizer(name: str, model: SparseEncoder, target: int | None) -> Regularizer:
    """L1, DF-FLOPS or, by default, FLOPS for ``model``'s embeddings, steered to ``target`` active dimensions if given."""
    if name == "l1":
        return Regularizer(L1Loss(), target)
    if name == "df_flops":
        return Regularizer(DfFlopsLoss(), target)
    return Regularizer(FlopsLoss(model), target)
