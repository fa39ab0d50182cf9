"""The objective of a training step: contrast with the batch's other documents, and a teacher's scores; GradCache for large batches."""

from typing import Any

import torch
from sentence_transformers import SparseEncoder
from sentence_transformers.sparse_encoder.losses import (
    CachedSpladeLoss,
    SparseDistillKLDivLoss,
    SparseMarginMSELoss,
    SparseMultipleNegativesRankingLoss,
    SpladeLoss,
)
from sentence_transformers.util import all_gather_with_grad, get_rank, pairwise_dot_score
from torch import Tensor, nn

from stages.config.schema import Loss
from stages.encoders.fast.loss import OnePassSpladeLoss
from stages.encoders.fast.model import FastEncoder
from stages.encoders.regularizers import PAIRS, make_regularizer


class OwnNegativesLoss(nn.Module):
    """Cross-entropy of a row's positive against its own negatives and the positives of the other rows, by scaled dot products.

    Other rows' negatives do not count, unlike in `SparseMultipleNegativesRankingLoss`. So a batch may hold a negative several times, or as
    another row's positive: with eight negatives from 420 documents, no batch of 32 rows was without a text twice.

    Attributes:
        gather_across_devices: whether the positives of all processes count.
    """

    def __init__(self, scale: float = 1.0) -> None:
        super().__init__()
        self.scale, self.gather_across_devices = scale, False

    def compute_loss_from_embeddings(self, embeddings: list[Tensor], labels: Tensor | None = None) -> Tensor:
        """The loss, a scalar, from the embeddings of each column, shape (rows, dimensions)."""
        queries, positives, *negatives = embeddings
        place = torch.arange(len(queries), device=queries.device)
        if self.gather_across_devices:
            positives = all_gather_with_grad(positives)
            place = place + get_rank() * len(queries)
        scores = [queries @ positives.T, *(pairwise_dot_score(queries, column).unsqueeze(1) for column in negatives)]
        return nn.functional.cross_entropy(self.scale * torch.cat(scores, dim=1), place)


class RankingLoss(nn.Module):
    """The weighted sum of the contrastive term and, for rows with a teacher's scores, a distillation term.

    Both terms are always there, as 0 if nothing is to be computed, so that the log of every step has the same columns.

    Args:
        contrastive, distillation: terms of sentence-transformers; None: that term is left out.
        weights: of the two terms.
        temperature: divides the teacher's scores; the smaller, the more a row's best document stands out.
    """

    def __init__(self, contrastive: nn.Module | None, distillation: nn.Module | None, weights: tuple[float, float], temperature: float):
        super().__init__()
        self.contrastive, self.distillation = contrastive, distillation
        self.weights, self.temperature = weights, temperature

    def compute_loss_from_embeddings(self, embeddings: list[Tensor], labels: Tensor | None = None) -> dict[str, Tensor]:
        """The terms, scalars, from the embeddings of each column, shape (rows, dimensions), and scores, shape (rows, 1 + negatives)."""
        nothing = embeddings[0].new_zeros(())
        contrast = distilled = nothing
        if self.contrastive is not None:
            contrast = self.weights[0] * self.contrastive.compute_loss_from_embeddings(embeddings, None)  # type: ignore[operator]
        if self.distillation is not None and labels is not None and len(embeddings) > 2:
            distilled = self.weights[1] * self.distillation.compute_loss_from_embeddings(embeddings, labels / self.temperature)  # type: ignore[operator]
        return {"base_loss": contrast, "distillation_loss": distilled}


def ranking_loss(model: SparseEncoder, settings: Loss, scale: float = 1.0) -> nn.Module:
    """The contrastive term, weighted by ``settings.contrast``, and the term that ``settings.distillation`` names.

    - contrastive: cross-entropy of the row's positive against its own negatives and all documents of the other rows, or with
      ``settings.own_negatives`` their positives.
    - margin_mse: squared error on the differences between a teacher's scores (Hofstätter et al. 2020, arXiv 2010.02666).
    - kl: divergence from the teacher's distribution over the row's documents (Lin et al. 2020, arXiv 2010.11386).

    The last two take a batch's ``scores``, shape (rows, 1 + negatives), as labels; a batch without scores has the contrastive term only.

    Args:
        scale: factor on the similarities. csr's are cosines, far too small for a softmax or a teacher's scores.
    """
    contrastive = OwnNegativesLoss(scale) if settings.own_negatives else SparseMultipleNegativesRankingLoss(model, scale=scale)
    if settings.distillation == "none" and settings.contrast == 1:
        return contrastive

    def similarity(queries: Tensor, documents: Tensor) -> Tensor:
        return scale * pairwise_dot_score(queries, documents)

    distillation = {
        "none": lambda: None,
        "margin_mse": lambda: SparseMarginMSELoss(model, similarity_fct=similarity),
        "kl": lambda: SparseDistillKLDivLoss(model, similarity_fct=similarity, temperature=1.0),
    }[settings.distillation]()
    weights = settings.contrast, settings.distillation_weight
    return RankingLoss(contrastive if weights[0] else None, distillation, weights, settings.distillation_temperature)


def splade_loss(model: SparseEncoder, settings: Loss, mini_batch_size: int | None = None) -> SpladeLoss:
    """`ranking_loss` plus a regulariser each for queries and documents.

    FLOPS sums squared means over the batch, so a weight tuned at one batch size does not fit another.

    A ``mini_batch_size`` turns GradCache on (Gao et al. 2021, arXiv 2101.06983): the same loss and gradients with only that many texts of a
    column encoded at once. Its price: each text is encoded twice.
    """
    of_queries, of_documents = PAIRS.get(settings.regularizer, (settings.regularizer, settings.regularizer))
    terms: dict[str, Any] = {
        "loss": ranking_loss(model, settings),
        "query_regularizer_weight": settings.query_regularizer_weight,
        "document_regularizer_weight": settings.document_regularizer_weight,
        "query_regularizer": make_regularizer(of_queries, model, settings.query_target_active_dims),
        "document_regularizer": make_regularizer(of_documents, model, settings.target_active_dims),
    }
    if mini_batch_size is not None:
        return CachedSpladeLoss(model, **terms, mini_batch_size=mini_batch_size)
    kind = OnePassSpladeLoss if isinstance(model, FastEncoder) and model.has_buckets() else SpladeLoss
    return kind(model, **terms)
