"""CSR models on one frozen base, at any number of active dimensions, and the base itself, from one encoding of the texts by the base.

The code with n active dimensions is the n largest latents, normalised: what ``encode(…, max_active_dims=n)`` returns.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.sparse import csr_array
from sentence_transformers import SentenceTransformer, SparseEncoder
from sentence_transformers.sparse_encoder.modules import SparseAutoEncoder
from torch import Tensor, nn

from stages.encoders.whitening import NAME as WHITENING
from stages.retrieval.dense import CHUNK, nearest
from stages.retrieval.documents import maxima
from stages.retrieval.scores import NDCG, Run, score
from stages.retrieval.sets import RetrievalSet
from stages.retrieval.treatment import UNTREATED, Treatment
from stages.retrieval.vectors import Encoded, stacked, to_csr
from stages.retrieval.windows import Windows


def autoencoder_of(model: SparseEncoder | SentenceTransformer) -> SparseAutoEncoder | None:
    """The autoencoder of a CSR model; None for another model."""
    return next((module for module in model if isinstance(module, SparseAutoEncoder)), None)


@dataclass(frozen=True)
class BaseVectors:
    """The dense vectors of a set by a CSR model's base, and how its documents are treated.

    Attributes:
        queries: shape (queries, dimensions).
        documents: shape (entries, dimensions). An entry is a document, or a window of one.
        counts: entries of each document.
        joined: whether a document's code is the element-wise maximum of its windows' codes; else its best window counts.
    """

    retrieval_set: RetrievalSet
    queries: Tensor
    documents: Tensor
    counts: Sequence[int]
    joined: bool

    @classmethod
    @torch.inference_mode()
    def of(cls, model: SparseEncoder, retrieval_set: RetrievalSet, batch_size: int = 32, treatment: Treatment = UNTREATED) -> "BaseVectors":
        """Encode the set with the base of a CSR ``model``; its documents as the model sees them."""
        base, _ = _halves(model)
        prompts = {name: prompt or "" for name, prompt in model.prompts.items()}
        dense = SentenceTransformer(modules=base, prompts=prompts, device=str(model.device))
        windows = Windows.of(model, treatment) if treatment.long_documents != "cut" else None
        documents = list(retrieval_set.corpus.values())
        parts = windows.split(documents) if windows else [[text] for text in documents]
        options: Any = {"batch_size": batch_size, "convert_to_tensor": True, "show_progress_bar": False}
        return cls(
            retrieval_set,
            dense.encode_query(list(retrieval_set.queries.values()), **options),
            dense.encode_document([window for part in parts for window in part], **options),
            [len(part) for part in parts],
            treatment.long_documents == "max_vector",
        )

    @torch.inference_mode()
    def encoded(self, model: SparseEncoder) -> Encoded:
        """The vectors of a CSR ``model`` on this base: those of `encode_set`, in memory one chunk at a time."""
        autoencoder = autoencoder_of(model)
        assert autoencoder is not None, "a CSR model has one"

        def of(vectors: Tensor) -> csr_array:
            return to_csr(codes(model, vectors, autoencoder.k).to_sparse())

        documents = stacked(maxima(of(vectors), counts) if self.joined else of(vectors) for vectors, counts in self._chunks())
        lengths = np.ones(len(self.counts), np.int64) if self.joined else self.counts
        return Encoded(stacked([of(self.queries)]), documents, np.concatenate([[0], np.cumsum(lengths)]))

    def dense_run(self) -> Run:
        """The run of the dense base; of a document in windows, the best one counts."""
        return nearest(self.retrieval_set, self.queries, self._chunks(), _best)

    @torch.inference_mode()
    def ndcg(self, model: SparseEncoder, active_dims: int) -> float:
        """nDCG@10 of a CSR ``model`` on this base, with this number of active dimensions; all latents if it has fewer."""
        queries = codes(model, self.queries, active_dims)
        chunks = ((codes(model, vectors, active_dims), counts) for vectors, counts in self._chunks())
        run = nearest(self.retrieval_set, queries, chunks, _joined if self.joined else _best)
        return score(run, self.retrieval_set.qrels)[NDCG]

    def _chunks(self) -> Iterator[tuple[Tensor, Sequence[int]]]:
        first = 0
        for start in range(0, len(self.counts), CHUNK):
            counts = self.counts[start : start + CHUNK]
            yield self.documents[first : first + sum(counts)], counts
            first += sum(counts)


def codes(model: SparseEncoder, vectors: Tensor, active_dims: int) -> Tensor:
    """The codes of a base's vectors, shape (rows, latents), in evaluation mode."""
    features = {"sentence_embedding": vectors}
    for module in _halves(model)[1]:
        if isinstance(module, SparseAutoEncoder):
            features = module(features, max_active_dims=min(active_dims, module.hidden_dim))
        else:
            features = module(features)
    return features["sentence_embedding"]


def _halves(model: SparseEncoder) -> tuple[list[nn.Module], list[nn.Module]]:
    """The modules of the dense base; whitening, the autoencoder and what follows."""
    names, modules = zip(*model.named_children(), strict=True)
    place = names.index(WHITENING) if WHITENING in names else modules.index(autoencoder_of(model))
    return list(modules[:place]), list(modules[place:])


def _best(queries: Tensor, chunk: tuple[Tensor, Sequence[int]]) -> Tensor:
    """Similarities with the best entry of each document."""
    vectors, counts = chunk
    similarities = queries @ vectors.T
    if len(counts) == len(vectors):
        return similarities
    return torch.stack([part.amax(dim=1) for part in similarities.split(list(counts), dim=1)], dim=1)


def _joined(queries: Tensor, chunk: tuple[Tensor, Sequence[int]]) -> Tensor:
    """Similarities with the element-wise maximum of each document's entries."""
    vectors, counts = chunk
    return queries @ torch.stack([part.amax(dim=0) for part in vectors.split(list(counts))]).T
