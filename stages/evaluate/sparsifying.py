"""Loss in nDCG@10 from making dense vectors sparse: a CSR model at several numbers of active dimensions, next to its dense base."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from sentence_transformers import SentenceTransformer, SparseEncoder
from sentence_transformers.sparse_encoder.modules import SparseAutoEncoder
from torch import Tensor

from stages.encoders.whitening import NAME as WHITENING
from stages.evaluate.dense import CHUNK, nearest
from stages.retrieval.scores import DEAD, NDCG, Run, score
from stages.retrieval.sets import RetrievalSet


class Sparsifying(NamedTuple):
    """Of a CSR model, its ``metrics`` (see `sparsifying_cost`) and its dense base's ``run``; empty and None for another model."""

    metrics: dict[str, float]
    run: Run | None


def autoencoder_of(model: SparseEncoder | SentenceTransformer) -> SparseAutoEncoder | None:
    """The autoencoder of a CSR model; None for another model."""
    return next((module for module in model if isinstance(module, SparseAutoEncoder)), None)


def ndcg_at(active_dims: int) -> str:
    """Name of the metric for nDCG@10 with this number of active dimensions."""
    return f"{NDCG}_at_{active_dims}_dims"


@torch.inference_mode()
def sparsifying_cost(model: SparseEncoder, retrieval_set: RetrievalSet, active_dims: Sequence[int], batch_size: int = 32) -> Sparsifying:
    """nDCG@10 at each number of active dimensions, the share of dead latents, and the run of the dense base.

    A latent is dead if no document of the set uses it at the model's own number of active dimensions. The dense base encodes queries
    and documents once.
    """
    autoencoder = autoencoder_of(model)
    if autoencoder is None:
        return Sparsifying({}, None)
    names, modules = zip(*model.named_children(), strict=True)
    place = names.index(WHITENING) if WHITENING in names else modules.index(autoencoder)
    base, rest = modules[:place], modules[place:]
    dense = SentenceTransformer(
        modules=list(base), prompts={name: prompt or "" for name, prompt in model.prompts.items()}, device=str(model.device)
    )
    queries = dense.encode_query(list(retrieval_set.queries.values()), batch_size=batch_size, convert_to_tensor=True)
    documents = dense.encode_document(list(retrieval_set.corpus.values()), batch_size=batch_size, convert_to_tensor=True)

    def codes(vectors: Tensor, number: int) -> Tensor:
        features = {"sentence_embedding": vectors}
        for module in rest:
            features = module(features, max_active_dims=number) if module is autoencoder else module(features)
        code: Tensor = features["sentence_embedding"]
        return code

    def ndcg(encoded_queries: Tensor, encoded_documents: Iterator[Tensor]) -> float:
        return score(nearest(retrieval_set, encoded_queries, encoded_documents), retrieval_set.qrels)[NDCG]

    metrics = {}
    for number in active_dims:
        coded = (codes(chunk, number) for chunk in documents.split(CHUNK))
        metrics[ndcg_at(number)] = ndcg(codes(queries, number), coded)
    used = torch.stack([(codes(chunk, autoencoder.k) > 0).any(dim=0) for chunk in documents.split(CHUNK)]).any(dim=0)
    metrics[DEAD] = 1 - float(used.float().mean())
    return Sparsifying(metrics, nearest(retrieval_set, queries, documents.split(CHUNK)))
