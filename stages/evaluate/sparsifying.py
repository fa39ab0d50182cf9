"""Loss in nDCG@10 from making dense vectors sparse: a CSR model at several numbers of active dimensions, next to its dense base."""

from collections.abc import Sequence

from sentence_transformers import SparseEncoder

from stages.encoders.active_dims import BaseVectors
from stages.retrieval.scores import DEAD, NDCG, Run
from stages.retrieval.vectors import Encoded, dimension_counts


def ndcg_at(active_dims: int) -> str:
    """Name of the metric for nDCG@10 with this number of active dimensions."""
    return f"{NDCG}_at_{active_dims}_dims"


def ndcg_by_dims(model: SparseEncoder, vectors: BaseVectors | None, active_dims: Sequence[int]) -> dict[str, float]:
    """nDCG@10 of a CSR model at each number of active dimensions; empty without its base's ``vectors``."""
    return {ndcg_at(number): vectors.ndcg(model, number) for number in active_dims} if vectors else {}


def sparsifying_cost(
    model: SparseEncoder, vectors: BaseVectors | None, encoded: Encoded, active_dims: Sequence[int]
) -> tuple[dict[str, float], Run | None]:
    """`ndcg_by_dims`, the share of dead latents, and the run of the dense base; empty and None for a model that is not CSR.

    A latent is dead if no document of the set uses it at the model's own number of active dimensions.

    Args:
        vectors: the set by the model's base; None for a model that is not CSR.
        encoded: the set by the model, not pruned.
    """
    if vectors is None:
        return {}, None
    dead = float((dimension_counts(encoded.documents) == 0).mean())
    return ndcg_by_dims(model, vectors, active_dims) | {DEAD: dead}, vectors.dense_run()
