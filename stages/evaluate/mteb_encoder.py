"""A sparse model as mteb takes it, with a record of how many dimensions are active in the embeddings that mteb asks for."""

from collections import defaultdict
from typing import Any

import torch
from mteb.models.sentence_transformer_wrapper import SparseEncoderWrapper
from mteb.types import PromptType
from sentence_transformers import SparseEncoder
from sentence_transformers.util import compute_count_vector

from stages.retrieval.scores import CORPUS_DIMS, FLOPS, QUERY_DIMS


class Activations:
    """Active dimensions and FLOPS as sentence-transformers' sparse evaluator defines them."""

    def __init__(self) -> None:
        self.rows = {PromptType.query: 0, PromptType.document: 0}
        self.counts: dict[PromptType, torch.Tensor] = {}

    def add(self, embeddings: Any, kind: PromptType) -> None:
        counts = compute_count_vector(embeddings).double()
        self.counts[kind] = self.counts[kind] + counts if kind in self.counts else counts
        self.rows[kind] += len(embeddings)

    def metrics(self) -> dict[str, float]:
        queries, corpus = (self.counts[kind] / self.rows[kind] for kind in (PromptType.query, PromptType.document))
        return {
            QUERY_DIMS: float(queries.sum()),
            CORPUS_DIMS: float(corpus.sum()),
            FLOPS: float(torch.dot(queries, corpus)),
        }


class RecordingEncoder(SparseEncoderWrapper):
    """mteb's own wrapper (sparse, by `encode_query` and `encode_document`), noting how many dimensions are active."""

    def __init__(self, model: SparseEncoder) -> None:
        super().__init__(model)
        self.activations: dict[tuple[str, str], Activations] = defaultdict(Activations)

    def encode(self, inputs: Any, *, hf_split: str, hf_subset: str, prompt_type: PromptType | None = None, **kwargs: Any) -> Any:
        embeddings = super().encode(inputs, hf_split=hf_split, hf_subset=hf_subset, prompt_type=prompt_type, **kwargs)
        if prompt_type is not None:
            self.activations[hf_subset, hf_split].add(embeddings, prompt_type)
        return embeddings
