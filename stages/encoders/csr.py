"""CSR: a sparse autoencoder on a dense model's sentence vectors; the k largest latents are kept.

Wen et al. 2025, "Beyond Matryoshka: Revisiting Sparse Coding for Adaptive Representation" (arXiv 2503.01776).
"""

from collections.abc import Iterable
from pathlib import Path

from sentence_transformers import SentenceTransformer, SparseEncoder
from sentence_transformers.sparse_encoder.losses import CSRLoss
from sentence_transformers.sparse_encoder.modules import SparseAutoEncoder

from stages.encoders import Encoder, Options, attention


def dense_base(base: Path, options: Options) -> SentenceTransformer:
    """The dense model in the folder ``base``; a plain encoder gets mean pooling."""
    model = SentenceTransformer(str(base), trust_remote_code=options.trust_remote_code, model_kwargs=attention(options))
    model.max_seq_length = options.max_seq_length
    return model


def build(base: Path, options: Options, documents: Iterable[str]) -> SparseEncoder:
    """A sparse autoencoder on the dense model in the folder ``base``; ``documents`` are not needed."""
    dense = dense_base(base, options)
    dimension = dense.get_embedding_dimension()
    assert dimension is not None, "a dense model knows its dimension"
    autoencoder = SparseAutoEncoder(dimension, options.hidden_dim, k=options.k, k_aux=options.k_aux)
    return SparseEncoder(modules=[*dense, autoencoder], trust_remote_code=options.trust_remote_code)


def make_loss(model: SparseEncoder, options: Options) -> CSRLoss:
    """Reconstruction from the k and the 4k largest latents, an auxiliary term for dead latents, and the in-batch contrastive term."""
    return CSRLoss(model, beta=options.auxiliary_weight, gamma=options.contrastive_weight)


ENCODER = Encoder(build, make_loss, routed=False, query_parameters=None)
