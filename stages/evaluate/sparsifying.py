"""Loss in nDCG@10 from making dense vectors sparse: a CSR model at several numbers of active dimensions, next to its dense base."""

from collections.abc import Iterator, Sequence

import torch
from sentence_transformers import SentenceTransformer, SparseEncoder
from sentence_transformers.sparse_encoder.modules import SparseAutoEncoder
from torch import Tensor

from stages.encoders.whitening import NAME as WHITENING
from stages.retrieval.scores import DEAD, DENSE_NDCG, NDCG, RECALL_CUT, Run, leave_out, score
from stages.retrieval.sets import RetrievalSet

CHUNK = 4096  # documents whose codes are in memory at a time


def autoencoder_of(model: SparseEncoder) -> SparseAutoEncoder | None:
    """The autoencoder of a CSR model; None for another model."""
    return next((module for module in model if isinstance(module, SparseAutoEncoder)), None)


def ndcg_at(active_dims: int) -> str:
    """Name of the metric for nDCG@10 with this number of active dimensions."""
    return f"{NDCG}_at_{active_dims}_dims"


@torch.inference_mode()
def sparsifying_cost(
    model: SparseEncoder, retrieval_set: RetrievalSet, active_dims: Sequence[int], batch_size: int = 32
) -> dict[str, float]:
    """nDCG@10 of the dense base (``dense_ndcg@10``), at each number of active dimensions, and the share of dead latents.

    A latent is dead if no document of the set uses it at the model's own number of active dimensions. The dense base encodes queries
    and documents once. The result is empty for models other than CSR.
    """
    autoencoder = autoencoder_of(model)
    if autoencoder is None:
        return {}
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
        return score(_run(retrieval_set, encoded_queries, encoded_documents), retrieval_set.qrels)[NDCG]

    metrics = {DENSE_NDCG: ndcg(queries, iter(documents.split(CHUNK)))}
    for number in active_dims:
        coded = (codes(chunk, number) for chunk in documents.split(CHUNK))
        metrics[ndcg_at(number)] = ndcg(codes(queries, number), coded)
    used = torch.stack([(codes(chunk, autoencoder.k) > 0).any(dim=0) for chunk in documents.split(CHUNK)]).any(dim=0)
    metrics[DEAD] = 1 - float(used.float().mean())
    return metrics


def _run(retrieval_set: RetrievalSet, queries: Tensor, documents: Iterator[Tensor]) -> Run:
    """The 100 documents with the highest dot products for each query, from chunks of documents in the corpus' order."""
    values, indices = torch.empty(len(queries), 0), torch.empty(len(queries), 0, dtype=torch.long)
    start, depth = 0, RECALL_CUT + bool(retrieval_set.own)
    for chunk in documents:
        values = torch.cat([values, (queries @ chunk.T).cpu()], dim=1)
        indices = torch.cat([indices, torch.arange(start, start + len(chunk)).expand(len(queries), -1)], dim=1)
        values, best = values.topk(min(depth, values.shape[1]), dim=1)
        indices = indices.gather(1, best)
        start += len(chunk)
    ids = list(retrieval_set.corpus)
    run = {
        query: {ids[index]: value for index, value in zip(row.tolist(), scores.tolist(), strict=True)}
        for query, row, scores in zip(retrieval_set.queries, indices, values, strict=True)
    }
    return leave_out(run, retrieval_set.own)
