"""Loss in nDCG@10 from making dense vectors sparse: a CSR model at several numbers of active dimensions, next to its dense base."""

from collections.abc import Sequence
from typing import NamedTuple

from sentence_transformers import SparseEncoder

from stages.encoders.active_dims import BaseVectors, autoencoder_of
from stages.retrieval.scores import DEAD, NDCG, Run
from stages.retrieval.sets import RetrievalSet
from stages.retrieval.treatment import UNTREATED, Treatment


class Sparsifying(NamedTuple):
    """Of a CSR model, its ``metrics`` (see `sparsifying_cost`) and its dense base's ``run``; empty and None for another model."""

    metrics: dict[str, float]
    run: Run | None


def ndcg_at(active_dims: int) -> str:
    """Name of the metric for nDCG@10 with this number of active dimensions."""
    return f"{NDCG}_at_{active_dims}_dims"


def sparsifying_cost(
    model: SparseEncoder, retrieval_set: RetrievalSet, active_dims: Sequence[int], batch_size: int = 32, treatment: Treatment = UNTREATED
) -> Sparsifying:
    """nDCG@10 at each number of active dimensions, the share of dead latents, and the run of the dense base.

    A latent is dead if no document of the set uses it at the model's own number of active dimensions. The dense base encodes queries
    and documents once; long documents as ``treatment`` says, without its pruning.
    """
    if (autoencoder := autoencoder_of(model)) is None:
        return Sparsifying({}, None)
    vectors = BaseVectors.of(model, retrieval_set, batch_size, treatment)
    metrics = {ndcg_at(number): vectors.ndcg(model, number) for number in active_dims}
    metrics[DEAD] = vectors.dead(model, autoencoder.k)
    return Sparsifying(metrics, vectors.dense_run())
