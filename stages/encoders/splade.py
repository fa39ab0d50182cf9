"""SPLADE: a masked language model's logits, max-pooled over the tokens, as weights of vocabulary terms.

Formal et al. 2022, "From Distillation to Hard Negative Sampling" (arXiv 2205.04733).
FLOPS regularisation: Paria et al. 2020 (arXiv 2004.05665).
"""

from collections.abc import Iterable
from pathlib import Path

from sentence_transformers import SparseEncoder
from sentence_transformers.base.modules import Transformer
from sentence_transformers.sparse_encoder.losses import SpladeLoss
from sentence_transformers.sparse_encoder.modules import SpladePooling

from stages.encoders import Encoder, Options, loading
from stages.encoders.objective import splade_loss
from stages.encoders.regularizers import make_regularizer
from stages.pretrained.norbert import transformer_folder


def masked_language_model(base: Path, options: Options) -> Transformer:
    """The base as a module whose ``token_embeddings`` are logits, shape (batch, length, vocabulary)."""
    trust = {"trust_remote_code": options.trust_remote_code}
    return Transformer(
        str(transformer_folder(base)),
        transformer_task="fill-mask",
        max_seq_length=options.max_seq_length,
        model_kwargs={**trust, **loading(options)},
        config_kwargs=dict(trust),
        processor_kwargs=dict(trust),
    )


def build(base: Path, options: Options, documents: Iterable[str], queries: Iterable[str] = ()) -> SparseEncoder:
    """A SPLADE model on the masked language model in the folder ``base``; ``documents`` are not needed."""
    return SparseEncoder(
        modules=[masked_language_model(base, options), SpladePooling("max")],
        trust_remote_code=options.trust_remote_code,
        device=options.device,
    )


def make_loss(model: SparseEncoder, options: Options) -> SpladeLoss:
    """In-batch contrastive loss plus a regulariser each for queries and documents.

    FLOPS is a sum over the batch's mean activations: its weight belongs to one batch size.
    """
    return splade_loss(
        model,
        options,
        query_regularizer_weight=options.query_regularizer_weight,
        document_regularizer_weight=options.document_regularizer_weight,
        query_regularizer=make_regularizer(options.regularizer, model, options.query_target_active_dims),
        document_regularizer=make_regularizer(options.regularizer, model, options.target_active_dims),
    )


ENCODER = Encoder(build, make_loss, routed=False, query_parameters=None)
