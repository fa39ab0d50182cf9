"""CSR: a sparse autoencoder on the sentence vectors of a frozen dense model; a text's code is its k largest latents.

Wen et al. 2025, "Beyond Matryoshka: Revisiting Sparse Coding for Adaptive Representation" (arXiv 2503.01776). As in the paper only the
autoencoder is trained. Vectors and codes have unit length, so every dot product is a cosine.

nDCG@10 lost against the dense base: on the sample, whose base is weak, 31% at 32 active dimensions and 12% at 64; with
all-MiniLM-L6-v2 on squad_da (k 128) none at 64.
"""

import math
from collections import OrderedDict
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from sentence_transformers import SentenceTransformer, SparseEncoder
from sentence_transformers.sentence_transformer.modules import Normalize
from sentence_transformers.sparse_encoder.losses import CSRLoss
from sentence_transformers.sparse_encoder.losses.csr import CSRReconstructionLoss
from sentence_transformers.sparse_encoder.modules import SparseAutoEncoder
from sentence_transformers.util import all_gather_with_grad

from stages.config.schema import Loss
from stages.config.settings import ResolvedModel
from stages.encoders.encoder import Encoder, Texts, loading_arguments
from stages.encoders.objective import ranking_loss
from stages.encoders.whitening import NAME, whitening

SCALE = 30.0  # factor on the cosines in the ranking term
SIMILARITY_SCALE = 60.0  # factor on the cosines in the similarity term: after whitening those of a batch are close to zero


def dense_base(base: Path, settings: ResolvedModel, device: str | None = None) -> SentenceTransformer:
    """Load the dense model in the folder ``base``; a plain encoder gets mean pooling."""
    model = SentenceTransformer(
        str(base),
        trust_remote_code=settings.trust_remote_code,
        model_kwargs=loading_arguments(settings),
        device=device,
        local_files_only=True,
    )
    if model.max_seq_length != math.inf:  # a static model, whose length cannot be set
        model.max_seq_length = settings.max_seq_length
    return model


def build(base: Path, settings: ResolvedModel, documents: Texts, queries: Texts = (), device: str | None = None) -> SparseEncoder:
    """Build a sparse autoencoder on the frozen dense model in the folder ``base``, with `whitening` between them if it is set.

    Whitening and the first latents (`init_latents`) are computed from the first ``hidden_dim`` documents and as many queries.
    """
    dense = dense_base(base, settings, device)
    trained_with = {name: prompt for name, prompt in dense.prompts.items() if prompt}
    prompts = trained_with | settings.prompts.given()
    modules = [*dense] if isinstance(dense[-1], Normalize) else [*dense, Normalize()]
    encoder = SentenceTransformer(modules=modules, prompts=prompts, device=device)
    dimension = encoder.get_embedding_dimension()
    assert dimension is not None, "a dense model knows its dimension"
    named = OrderedDict((str(place), module) for place, module in enumerate(modules))
    autoencoder = SparseAutoEncoder(dimension, settings.hidden_dim, k=settings.k, k_aux=settings.k_aux)
    samples = [list(islice(texts, settings.hidden_dim)) for texts in (documents, queries)]
    kinds = [
        encode(texts, convert_to_tensor=True).cpu()
        for encode, texts in zip((encoder.encode_document, encoder.encode_query), samples, strict=True)
        if texts
    ]
    if kinds and settings.whitening:
        whiten = whitening(kinds, settings.whitening)
        with torch.no_grad():
            kinds = [torch.nn.functional.normalize(whiten.linear(vectors.float()), dim=1) for vectors in kinds]
        named |= {NAME: whiten, str(len(named) + 1): Normalize()}
    if kinds:
        init_latents(autoencoder, kinds[0], torch.stack([vectors.mean(dim=0) for vectors in kinds]).mean(dim=0))
    for module in named.values():
        freeze(module)
    named |= {str(len(named)): autoencoder, str(len(named) + 1): Normalize()}
    return SparseEncoder(
        modules=named,  # type: ignore[arg-type]
        prompts=prompts,
        trust_remote_code=settings.trust_remote_code,
        device=device,
    )


@torch.no_grad()
def init_latents(autoencoder: SparseAutoEncoder, vectors: torch.Tensor, mean: torch.Tensor) -> None:
    """Initialise the latents: first the base's dimensions and their negatives, then document directions, then random directions.

    All are relative to ``mean``. With many active latents the dimensions alone nearly reproduce the base's similarities. With few active
    latents the document directions help, since only a few of them are close to a text.

    Args:
        vectors: of documents, shape (rows, dimensions).
        mean: of documents and queries, shape (dimensions,).
    """
    autoencoder.pre_bias.copy_(mean)
    weight = autoencoder.encoder.weight
    assert isinstance(weight, torch.Tensor)
    weight.normal_()
    axes = torch.eye(len(mean))
    start = torch.cat([axes, -axes, vectors - mean])[: len(weight)]
    weight[: len(start)] = start
    weight.copy_(torch.nn.functional.normalize(weight, dim=1))


def freeze(module: torch.nn.Module) -> None:
    """Keep a module's weights fixed and its dropout off, whatever mode the trainer sets."""
    module.requires_grad_(False)
    module.register_forward_pre_hook(_to_eval)


def _to_eval(module: torch.nn.Module, _: object) -> None:
    module.eval()


class ReconstructionLoss(CSRReconstructionLoss):
    """The paper's reconstruction terms, divided by the vectors' variance, plus an optional similarity term.

    Without the division the terms would be negligible next to the others: unit vectors have a small squared error. The similarity term is
    the mean of `similarity_loss` for the codes and for their ``few`` largest latents alone, so that those are useful without the rest.

    Attributes:
        gathers: whether the terms are computed over the outputs of all processes.
    """

    gathers = False

    def __init__(self, model: SparseEncoder, beta: float = 0.1, similarity_weight: float = 0.0, few: int = 1) -> None:
        super().__init__(model, beta)
        self.similarity_weight, self.few = similarity_weight, few

    def compute_loss_from_embeddings(self, outputs: list[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
        if self.gathers:
            outputs = [Gathered(output) for output in outputs]
        terms: dict[str, torch.Tensor] = super().compute_loss_from_embeddings(outputs)
        vectors = torch.cat([output["sentence_embedding_backbone"] for output in outputs]).detach()
        variance = vectors.var(dim=0).mean()
        terms = {name: term if name == "reconstruction_loss_aux" else term / variance for name, term in terms.items()}
        if self.similarity_weight:
            codes = torch.cat([output["sentence_embedding"] for output in outputs])
            losses = [similarity_loss(each, vectors) for each in (codes, largest(codes, self.few))]
            terms["similarity_loss"] = self.similarity_weight * torch.stack(losses).mean()
        return terms


class Gathered(dict[str, Any]):
    """A model's outputs, each gathered from all processes at its first use: those that no term uses may differ in shape."""

    def __init__(self, output: Mapping[str, torch.Tensor | None]) -> None:
        super().__init__()
        self._output = output

    def __missing__(self, name: str) -> torch.Tensor | None:
        value = self._output[name]
        self[name] = None if value is None else all_gather_with_grad(value)
        return self[name]


def largest(codes: torch.Tensor, number: int) -> torch.Tensor:
    """The codes with only ``number`` active latents: each row's largest values, normalised."""
    values, places = codes.topk(number, dim=1)
    return torch.nn.functional.normalize(torch.zeros_like(codes).scatter(1, places, values), dim=1)


def similarity_loss(codes: torch.Tensor, vectors: torch.Tensor) -> torch.Tensor:
    """KL divergence between each text's similarities to the rest of the batch by its dense vector and by its code; mean over the texts.

    Fang et al. 2021, "SEED: Self-supervised Distillation For Visual Representation" (arXiv 2101.04731). The dense vectors are first
    centred on the batch's mean.

    Args:
        codes: unit vectors, shape (texts, latents).
        vectors: shape (texts, dimensions).
    """
    centred = torch.nn.functional.normalize(vectors - vectors.mean(dim=0), dim=1)
    others = ~torch.eye(len(vectors), dtype=torch.bool, device=vectors.device)
    ours, base = ((SIMILARITY_SCALE * rows @ rows.T)[others].view(len(rows), -1) for rows in (codes, centred))
    return torch.nn.functional.kl_div(ours.log_softmax(dim=1), base.softmax(dim=1), reduction="batchmean")


def make_loss(model: SparseEncoder, settings: Loss, mini_batch_size: int | None = None) -> CSRLoss:
    """The paper's terms and, weighted by ``similarity_weight``, `similarity_loss` at k and at k / 4 latents.

    The paper's terms are the reconstruction from the k and the 4k largest latents, an auxiliary term for dead latents and the ranking term.
    """
    loss = CSRLoss(model, ranking_loss(model, settings, SCALE), beta=settings.auxiliary_weight, gamma=1.0)  # has its weights
    [k] = (module.k for module in model if isinstance(module, SparseAutoEncoder))
    loss.reconstruction_loss = ReconstructionLoss(model, settings.auxiliary_weight, settings.similarity_weight, max(1, k // 4))
    return loss


ENCODER = Encoder(build, make_loss, routed=False, query_parameters=None)
