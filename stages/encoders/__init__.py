"""The three encoders, one module each: how its model is built on a base, and its loss.

Each module has ``build(base, options, documents, queries) -> SparseEncoder`` and ``make_loss(model, options) -> torch.nn.Module``.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import torch
    from sentence_transformers import SparseEncoder

    from stages.encoders.regularizers import RegularizerName


@dataclass(frozen=True)
class Options:
    """What the encoders can be told; each reads what concerns it.

    Attributes:
        max_seq_length: tokens a text is cut to.
        trust_remote_code: whether the base model's own code may run.
        attn_implementation: of transformers; None is its own choice.
        device: cpu, where nothing shall run on a GPU before the model is moved there; None: as sentence-transformers chooses.
        prompts: csr: what stands before queries (``query``) and documents (``document``), over the base's own.
        hidden_dim, k, k_aux: csr: width, active dimensions kept, dead latents that the auxiliary loss revives.
        query_regularizer_weight, document_regularizer_weight: splade, inference-free-splade: FLOPS weights.
        regularizer: splade, inference-free-splade: flops, l1 or df_flops.
        target_active_dims, query_target_active_dims: splade, inference-free-splade: dimensions that a document or a query shall have;
            the regulariser is steered to them from its weight. None: the weight alone decides.
        whitening: csr: how far the variances of the base's vectors are levelled, 0 (not at all) to 1.
        auxiliary_weight, contrastive_weight: csr: beta and gamma of the paper.
        similarity_weight: csr: of the term that keeps the dense base's similarities.
        distillation: none, or the loss that learns a teacher's scores: margin_mse, kl.
        mini_batch_size: splade, inference-free-splade: texts encoded at once (GradCache); None encodes a batch whole.
    """

    max_seq_length: int
    trust_remote_code: bool = False
    attn_implementation: str | None = None
    device: str | None = None
    prompts: Mapping[str, str] = field(default_factory=dict)
    hidden_dim: int = 4096
    k: int = 256
    k_aux: int = 512
    query_regularizer_weight: float = 0.0
    document_regularizer_weight: float = 0.0
    regularizer: "RegularizerName" = "flops"
    target_active_dims: int | None = None
    query_target_active_dims: int | None = None
    whitening: float = 0.0
    auxiliary_weight: float = 0.1
    contrastive_weight: float = 1.0
    similarity_weight: float = 0.0
    distillation: str = "none"
    mini_batch_size: int | None = None


class Build(Protocol):
    """Base model folder, options, training documents and queries (each read at most once) → model to train."""

    def __call__(self, base: Path, options: Options, documents: Iterable[str], queries: Iterable[str] = ()) -> "SparseEncoder": ...


@dataclass(frozen=True)
class Encoder:
    """One architecture.

    Attributes:
        build: see `Build`.
        make_loss: model, options → loss over the columns anchor, positive, negative….
        routed: whether queries take another way through the model than documents.
        query_parameters: regular expression of the parameters that have a learning rate of their own, or None.
    """

    build: Build
    make_loss: Callable[["SparseEncoder", Options], "torch.nn.Module"]
    routed: bool
    query_parameters: str | None


def loading(options: Options) -> dict[str, str]:
    """Arguments of transformers' ``from_pretrained``: float32, whatever the files hold, since mixed precision needs it; the attention."""
    attention = {"attn_implementation": options.attn_implementation} if options.attn_implementation else {}
    return {"dtype": "float32"} | attention


def get_encoder(architecture: str) -> Encoder:
    """The encoder of an architecture: splade, inference-free-splade or csr.

    Raises:
        KeyError: for any other name; params.yaml's validation admits only these.
    """
    from stages.encoders import csr, inference_free, splade

    return {"splade": splade.ENCODER, "inference-free-splade": inference_free.ENCODER, "csr": csr.ENCODER}[architecture]
