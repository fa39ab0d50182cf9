"""SPLADE's loss with queries and documents encoded in one pass, unless their routes or prompts differ.

sentence-transformers encodes queries separately so that they are not padded to the documents' length, which length buckets avoid anyway.
Each pass allocates gradients as large as the word embeddings and the head: most of the memory if the vocabulary is large.
"""

from collections.abc import Iterable
from typing import Any

import torch
from sentence_transformers.base.losses.merged_forward import embed_columns
from sentence_transformers.sparse_encoder.losses import SpladeLoss
from torch import Tensor


class OnePassSpladeLoss(SpladeLoss):
    """SpladeLoss with both regularisers; ``forward`` is stock's with another ``separate_first`` for `embed_columns`."""

    def forward(self, sentence_features: Iterable[dict[str, Tensor]], labels: Tensor | None = None) -> dict[str, Tensor]:
        columns = list(sentence_features)
        kinds = [(column.get("task"), column.get("prompt_length")) for column in columns]
        embeddings = embed_columns(self.model, columns, separate_first=any(kind != kinds[0] for kind in kinds))
        terms: tuple[Any, ...] = (self.loss, self.document_regularizer, self.query_regularizer)
        loss, of_documents, of_queries = (term.compute_loss_from_embeddings for term in terms)
        ranking = loss(embeddings, labels)
        return {
            **(ranking if isinstance(ranking, dict) else {"base_loss": ranking}),
            "document_regularizer_loss": of_documents(torch.cat(embeddings[1:])) * self.document_regularizer_weight,
            "query_regularizer_loss": of_queries(embeddings[0]) * self.query_regularizer_weight,
        }
