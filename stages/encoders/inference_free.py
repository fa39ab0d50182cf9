"""Inference-free SPLADE: documents as in SPLADE, queries as a bag of words with one learned weight per token: no model runs for a query.

Geng et al. 2024, "Towards Competitive Search Relevance For Inference-Free Learned Sparse Retrievers" (arXiv 2411.04403). Query weights
start at the inverse document frequency over the distinct training documents and have a higher learning rate than the rest; queries are
not regularised. nDCG@10 lost against SPLADE on the sample: 6% (0.632 instead of 0.674).
"""

import copy
from collections.abc import Iterable
from itertools import compress, islice
from pathlib import Path
from typing import cast

import pyarrow as pa
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
from stages.rows.normalisation import HashSet, hash_texts, normal_form


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


def idf(tokenizer: PreTrainedTokenizerBase, documents: Iterable[str], vocabulary: int) -> torch.Tensor:
    """Inverse document frequency of each token, log(1 + (N − df + 0.5) / (df + 0.5)) as in BM25; 0 for special tokens.

    A document that occurs in several rows, such as a passage with several questions, counts once. Memory: 8 bytes per distinct document.

    Args:
        documents: read once, 10,000 at a time.
        vocabulary: the model's number of tokens, which may exceed the tokenizer's.

    Returns:
        float32 of shape (vocabulary,).
    """
    frequency = torch.zeros(vocabulary, dtype=torch.long)
    seen = HashSet()
    iterator = iter(documents)
    while rows := list(islice(iterator, 10_000)):
        new = seen.add(hash_texts(normal_form(pa.array(rows, pa.string()))))
        if texts := list(compress(rows, new)):
            for ids in tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"]:
                frequency[torch.tensor(sorted(set(ids)), dtype=torch.long)] += 1
    weight = torch.log1p((len(seen) - frequency + 0.5) / (frequency + 0.5))
    weight[tokenizer.all_special_ids] = 0.0
    return weight


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
