"""What a training step learns from: other documents of the batch, or a teacher's scores; and how much of a batch is encoded at once."""

from typing import Any

from sentence_transformers import SparseEncoder
from sentence_transformers.sparse_encoder.losses import (
    CachedSpladeLoss,
    SparseDistillKLDivLoss,
    SparseMarginMSELoss,
    SparseMultipleNegativesRankingLoss,
    SpladeLoss,
)
from sentence_transformers.util import pairwise_dot_score
from torch import Tensor, nn

from stages.config.schema import Loss
from stages.encoders.fast.loss import OnePassSpladeLoss
from stages.encoders.fast.model import FastEncoder


def ranking_loss(model: SparseEncoder, settings: Loss, scale: float = 1.0) -> nn.Module:
    """The term that ranks documents, by ``settings.distillation``.

    none: in-batch contrast with the row's own negatives. margin_mse: the differences of a teacher's scores (Hofstätter et al. 2020,
    arXiv 2010.02666). kl: their distribution over a row's documents (Lin et al. 2020, arXiv 2010.11386), temperature 2.
    The last two take a batch's ``scores``, shape (rows, 1 + negatives), as labels.
    ``scale`` multiplies the similarities: cosines, of csr, are far too small for a contrast or for a cross-encoder's scores.
    """
    if settings.distillation == "none":
        return SparseMultipleNegativesRankingLoss(model, scale=scale)

    def similarity(queries: Tensor, documents: Tensor) -> Tensor:
        return scale * pairwise_dot_score(queries, documents)

    return {"margin_mse": SparseMarginMSELoss, "kl": SparseDistillKLDivLoss}[settings.distillation](model, similarity_fct=similarity)


def splade_loss(model: SparseEncoder, settings: Loss, mini_batch_size: int | None, **regularizers: Any) -> SpladeLoss:
    """`ranking_loss` with the regularisers that ``regularizers`` (SpladeLoss's arguments) describe.

    With a ``mini_batch_size`` by GradCache (Gao et al. 2021, arXiv 2101.06983): the same loss and gradients, with so many
    texts of a column in the encoder at once; each is encoded twice.
    """
    if mini_batch_size is None:
        kind = OnePassSpladeLoss if isinstance(model, FastEncoder) and model.has_buckets() else SpladeLoss
        return kind(model, ranking_loss(model, settings), **regularizers)
    return CachedSpladeLoss(model, ranking_loss(model, settings), **regularizers, mini_batch_size=mini_batch_size)
