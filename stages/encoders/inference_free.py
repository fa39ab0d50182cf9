"""Inference-free SPLADE: documents as in SPLADE, queries as a bag of words with one learned weight per token: no model runs for a query.

Geng et al. 2024, "Towards Competitive Search Relevance For Inference-Free Learned Sparse Retrievers" (arXiv 2411.04403). Query weights
start at the inverse document frequency over the distinct training documents and have a much higher learning rate than the rest; queries
are not regularised. Gives up: a query is not expanded, and its words do not depend on each other. nDCG@10 on the sample is not lower than
SPLADE's (.346 and .329).
"""

import copy
from pathlib import Path
from typing import cast

import torch
from sentence_transformers import SparseEncoder
from sentence_transformers.base.modules import Router
from sentence_transformers.sparse_encoder.losses import SpladeLoss
from sentence_transformers.sparse_encoder.modules import SparseStaticEmbedding, SpladePooling
from transformers import PreTrainedTokenizer, PreTrainedTokenizerBase

from stages.config.schema import Loss
from stages.config.settings import ResolvedModel
from stages.encoders.encoder import Encoder, Texts
from stages.encoders.objective import splade_loss
from stages.encoders.splade import masked_language_model
from stages.rows.idf import idf


def build(base: Path, settings: ResolvedModel, documents: Texts, queries: Texts = (), device: str | None = None) -> SparseEncoder:
    """Build a router: static token weights for queries, the masked language model in the folder ``base`` for documents."""
    transformer = masked_language_model(base, settings)
    tokenizer = transformer.tokenizer
    assert tokenizer is not None, "a masked language model has a tokenizer"
    weight = idf(tokenizer, documents, transformer.model.config.vocab_size)
    query = SparseStaticEmbedding(_padded(tokenizer, len(weight)), weight=weight)
    query.register_forward_pre_hook(_non_negative)
    document = [transformer, SpladePooling("max", activation_function="log1p_relu")]
    return SparseEncoder(
        modules=[Router.for_query_document(query_modules=[query], document_modules=document)],
        trust_remote_code=settings.trust_remote_code,
        device=device,
    )


def _padded(tokenizer: PreTrainedTokenizerBase, vocabulary: int) -> PreTrainedTokenizer:
    """A copy of the tokenizer with as many tokens as the model has weights: otherwise the saved query module does not load."""
    padded = copy.deepcopy(tokenizer)
    padded.add_tokens([f"<unused_{number}>" for number in range(len(padded.get_vocab()), vocabulary)])
    return cast(PreTrainedTokenizer, padded)


def _non_negative(query: torch.nn.Module, _: object) -> None:
    """Raise the negative weights to 0 before each use: search engines refuse them, and a few steps leave some, such as that of "."."""
    cast(SparseStaticEmbedding, query).weight.data.clamp_(min=0)


def make_loss(model: SparseEncoder, settings: Loss, mini_batch_size: int | None = None) -> SpladeLoss:
    """`splade_loss` with a regulariser for documents only: that of queries has weight 0 and counts their active dimensions."""
    for_documents = settings.model_copy(update={"query_regularizer_weight": 0.0, "query_target_active_dims": None})
    return splade_loss(model, for_documents, mini_batch_size)


ENCODER = Encoder(build, make_loss, routed=True, query_parameters=r"sub_modules\.query\.")
