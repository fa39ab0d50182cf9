"""CSR: a sparse autoencoder on the sentence vectors of a frozen dense model; a text's code is its k largest latents.

Wen et al. 2025, "Beyond Matryoshka: Revisiting Sparse Coding for Adaptive Representation" (arXiv 2503.01776). As in the paper only the
autoencoder is trained. Vectors and codes have unit length, so every dot product is a cosine.

It starts as an encoder that needs no training, the control: the axes of the whitened vectors and their negatives. nDCG@10 that the
control loses against multilingual-e5-small: 4 to 9% at 128 active dimensions, 12 to 21% at 64 (docs/csr.md has the sets).
"""

import math
from collections import OrderedDict
from collections.abc import Mapping, Sequence
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
from stages.retrieval.treatment import Treatment
from stages.retrieval.windows import Windows
from stages.runtime.errors import UserError

SAMPLE = 4_096  # documents, and queries, that whitening is computed from
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
    """Build a sparse autoencoder on the frozen dense model in the folder ``base``, with `whitening` between them.

    The first latents are the whitened axes and their negatives (`init_latents`). Without a ``hidden_dim`` there are no others, and at most
    4k: the fewer the axes, the more of a text its k largest latents hold. The model that is returned is the control that training must
    beat. Axes and latents are computed from the first `SAMPLE` queries and documents, of long ones from their windows unless they are cut.

    Raises:
        UserError: ``settings.k`` is more than a quarter of the latents.
    """
    dense = dense_base(base, settings, device)
    trained_with = {name: prompt for name, prompt in dense.prompts.items() if prompt}
    prompts = trained_with | settings.prompts.given()
    modules = [*dense] if isinstance(dense[-1], Normalize) else [*dense, Normalize()]
    encoder = SentenceTransformer(modules=modules, prompts=prompts, device=device)
    dimension = encoder.get_embedding_dimension()
    assert dimension is not None, "a dense model knows its dimension"
    named = OrderedDict((str(place), module) for place, module in enumerate(modules))
    kinds = [
        encode(texts, convert_to_tensor=True, show_progress_bar=False).cpu().float()
        for encode, texts in ((encoder.encode_document, _windowed(encoder, settings, documents)), (encoder.encode_query, _first(queries)))
        if texts
    ]
    axes, directions = dimension, torch.empty(0, dimension)
    if kinds:
        whiten = whitening(kinds, settings.whitening, math.ceil((settings.hidden_dim or 4 * settings.k) / 2))
        axes = whiten.out_features
        with torch.no_grad():
            directions = torch.nn.functional.normalize(whiten.linear(kinds[0]), dim=1)
        named |= {NAME: whiten, str(len(named) + 1): Normalize()}
    latents = settings.hidden_dim or min(4 * settings.k, 2 * axes)
    if 4 * settings.k > latents:
        raise UserError(
            f"model.k: must be at most a quarter of the {latents:,} latents, as the loss uses 4k of them, got {settings.k}; lower it, or "
            "set model.hidden_dim"
        )
    autoencoder = SparseAutoEncoder(axes, latents, k=settings.k, k_aux=min(settings.k_aux, latents))
    init_latents(autoencoder, directions)
    for module in named.values():
        freeze(module)
    named |= {str(len(named)): autoencoder, str(len(named) + 1): Normalize()}
    return SparseEncoder(
        modules=named,  # type: ignore[arg-type]
        prompts=prompts,
        trust_remote_code=settings.trust_remote_code,
        device=device,
    )


def _first(texts: Texts) -> list[str]:
    return list(dict.fromkeys(islice(texts, SAMPLE)))


def _windowed(encoder: SentenceTransformer, settings: ResolvedModel, documents: Texts) -> list[str]:
    """The distinct documents, each as the texts that the model will encode: its windows, or its beginning."""
    texts = _first(documents)
    windows = Windows.of(encoder, Treatment(settings.long_documents, settings.window, settings.overlap))
    if settings.long_documents == "cut" or windows is None:
        return texts
    return [window for parts in windows.split(texts) for window in parts][:SAMPLE]


@torch.no_grad()
def init_latents(autoencoder: SparseAutoEncoder, directions: torch.Tensor) -> None:
    """Initialise the latents: each axis and its negative, so that these together reproduce the vectors; then documents, then random ones.

    With fewer latents, the last axes have none.

    Args:
        directions: whitened vectors of documents, shape (rows, axes).
    """
    weight = autoencoder.encoder.weight
    assert isinstance(weight, torch.Tensor)
    axes = torch.eye(weight.shape[1])
    start = torch.cat([torch.stack([axes, -axes], dim=1).flatten(0, 1), directions])[: len(weight)]
    weight.normal_()
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
    the mean of `similarity_loss` over codes with each number of ``nested`` latents, so that the largest are useful without the rest.

    Attributes:
        gathers: whether the terms are computed over the outputs of all processes.
    """

    gathers = False

    def __init__(self, model: SparseEncoder, beta: float = 0.1, similarity_weight: float = 0.0, nested: Sequence[int] = (1,)) -> None:
        super().__init__(model, beta)
        self.similarity_weight, self.nested = similarity_weight, nested

    def compute_loss_from_embeddings(self, outputs: list[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
        if self.gathers:
            outputs = [Gathered(output) for output in outputs]
        terms: dict[str, torch.Tensor] = super().compute_loss_from_embeddings(outputs)
        vectors = torch.cat([output["sentence_embedding_backbone"] for output in outputs]).detach()
        variance = vectors.var(dim=0).mean()
        terms = {name: term if name == "reconstruction_loss_aux" else term / variance for name, term in terms.items()}
        if self.similarity_weight:
            latents = torch.cat([output["sentence_embedding_encoded"] for output in outputs]).relu()
            losses = [similarity_loss(largest(latents, number), vectors) for number in self.nested]
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
    """The codes with at most ``number`` active latents: each row's largest values, normalised."""
    values, places = codes.topk(min(number, codes.shape[1]), dim=1)
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
    """The paper's terms and, weighted by ``similarity_weight``, `similarity_loss` at each number of ``nested_k`` latents.

    The paper's terms are the reconstruction from the k and the 4k largest latents, an auxiliary term for dead latents and the ranking term.
    """
    loss = CSRLoss(model, ranking_loss(model, settings, SCALE), beta=settings.auxiliary_weight, gamma=1.0)  # has its weights
    loss.reconstruction_loss = ReconstructionLoss(model, settings.auxiliary_weight, settings.similarity_weight, settings.nested_k)
    return loss


ENCODER = Encoder(build, make_loss, routed=False, query_parameters=None)
