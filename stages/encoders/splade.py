"""SPLADE: the weight of a vocabulary term is a masked language model's largest logit for it over the text's tokens, after relu and log1p.

Formal et al. 2022, "From Distillation to Hard Negative Sampling" (arXiv 2205.04733). Queries and documents go through the same model and
have a regulariser each (`regularizers`).
"""

from pathlib import Path

from sentence_transformers import SparseEncoder
from sentence_transformers.base.modules import Transformer
from sentence_transformers.sparse_encoder.modules import SpladePooling

from stages.config.settings import ResolvedModel
from stages.encoders.encoder import Encoder, Texts, loading_arguments
from stages.encoders.objective import splade_loss
from stages.pretrained.norbert import transformer_folder


def masked_language_model(base: Path, settings: ResolvedModel) -> Transformer:
    """The base model as a module whose ``token_embeddings`` are logits, shape (batch, length, vocabulary)."""
    trust = {"trust_remote_code": settings.trust_remote_code}
    return Transformer(
        str(transformer_folder(base)),
        transformer_task="fill-mask",
        max_seq_length=settings.max_seq_length,
        model_kwargs={**trust, **loading_arguments(settings)},
        config_kwargs=dict(trust),
        processor_kwargs=dict(trust),
    )


def build(base: Path, settings: ResolvedModel, documents: Texts, queries: Texts = (), device: str | None = None) -> SparseEncoder:
    """Build SPLADE on the masked language model in the folder ``base``; no texts are read."""
    return SparseEncoder(
        modules=[masked_language_model(base, settings), SpladePooling("max")], trust_remote_code=settings.trust_remote_code, device=device
    )


ENCODER = Encoder(build, splade_loss, routed=False, query_parameters=None)
