"""The objective of a training step: contrast with the batch's other documents or a teacher's scores; GradCache for large batches."""

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
from stages.encoders.regularizers import make_regularizer


def ranking_loss(model: SparseEncoder, settings: Loss, scale: float = 1.0) -> nn.Module:
    """The ranking term that ``settings.distillation`` names.

    - none: cross-entropy of the row's positive against its own negatives and all documents of the other rows.
    - margin_mse: squared error on the differences between a teacher's scores (Hofstätter et al. 2020, arXiv 2010.02666).
    - kl: divergence from the teacher's distribution over the row's documents (Lin et al. 2020, arXiv 2010.11386), at temperature 2.

    The last two take a batch's ``scores``, shape (rows, 1 + negatives), as labels.

    Args:
        scale: factor on the similarities. csr's are cosines, far too small for a softmax or a cross-encoder's scores.
    """
    if settings.distillation == "none":
        return SparseMultipleNegativesRankingLoss(model, scale=scale)

    def similarity(queries: Tensor, documents: Tensor) -> Tensor:
        return scale * pairwise_dot_score(queries, documents)

    return {"margin_mse": SparseMarginMSELoss, "kl": SparseDistillKLDivLoss}[settings.distillation](model, similarity_fct=similarity)


def splade_loss(model: SparseEncoder, settings: Loss, mini_batch_size: int | None = None) -> SpladeLoss:
    """`ranking_loss` plus a regulariser each for queries and documents.

    FLOPS sums squared means over the batch, so a weight tuned at one batch size does not fit another.

    A ``mini_batch_size`` turns GradCache on (Gao et al. 2021, arXiv 2101.06983): the same loss and gradients with only that many texts of a
    column encoded at once. Its price: each text is encoded twice.
    """
    terms: dict[str, Any] = {
        "loss": ranking_loss(model, settings),
        "query_regularizer_weight": settings.query_regularizer_weight,
        "document_regularizer_weight": settings.document_regularizer_weight,
        "query_regularizer": make_regularizer(settings.regularizer, model, settings.query_target_active_dims),
        "document_regularizer": make_regularizer(settings.regularizer, model, settings.target_active_dims),
    }
    if mini_batch_size is not None:
        return CachedSpladeLoss(model, **terms, mini_batch_size=mini_batch_size)
    kind = OnePassSpladeLoss if isinstance(model, FastEncoder) and model.has_buckets() else SpladeLoss
    return kind(model, **terms)
