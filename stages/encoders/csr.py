"""CSR: a sparse autoencoder on a dense model's sentence vectors; the k largest latents are kept.

Wen et al. 2025, "Beyond Matryoshka: Revisiting Sparse Coding for Adaptive Representation" (arXiv 2503.01776). As there, the dense model
stays as it is and only the autoencoder learns. Vectors and codes have unit length, so that every dot product is a cosine.
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
from stages.encoders.encoder import Encoder, Texts, loading
from stages.encoders.objective import ranking_loss
from stages.encoders.whitening import NAME, whitening

SCALE = 30.0  # of cosines in the ranking term
SIMILARITY_SCALE = 60.0  # of cosines in the similarity term: whitened, those of a batch lie near zero


def dense_base(base: Path, settings: ResolvedModel, device: str | None = None) -> SentenceTransformer:
    """The dense model in the folder ``base``; a plain encoder gets mean pooling."""
    model = SentenceTransformer(
        str(base),
        trust_remote_code=settings.trust_remote_code,
        model_kwargs=loading(settings),
        device=device,
        local_files_only=True,
    )
    if model.max_seq_length != math.inf:  # a static model has no limit and takes none
        model.max_seq_length = settings.max_seq_length
    return model


def build(base: Path, settings: ResolvedModel, documents: Texts, queries: Texts = (), device: str | None = None) -> SparseEncoder:
    """A sparse autoencoder on the frozen dense model in the folder ``base``, whose vectors are whitened (`whitening`) if asked for.

    The first of ``documents`` and ``queries``, as many as there are latents, tell how the vectors lie: see `start_from`.
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
        start_from(autoencoder, kinds[0], torch.stack([vectors.mean(dim=0) for vectors in kinds]).mean(dim=0))
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
def start_from(autoencoder: SparseAutoEncoder, vectors: torch.Tensor, mean: torch.Tensor) -> None:
    """Let latents start as each dimension and its negative, then as directions of ``vectors``, the rest as random directions.

    All are seen from ``mean``. The dimensions alone give back nearly the base's similarities where many latents are active;
    the documents' directions, of which a text has few that are near, make up for it where few are.

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
    """Keep a module's weights, and its dropout off, whatever mode the trainer sets."""
    module.requires_grad_(False)
    module.register_forward_pre_hook(_to_eval)


def _to_eval(module: torch.nn.Module, _: object) -> None:
    module.eval()


class ReconstructionLoss(CSRReconstructionLoss):
    """The paper's reconstruction terms as shares of the vectors' variance: unit vectors alone would make them vanish beside the others.

    With a ``similarity_weight`` also a term of its own, ``similarity_loss``: the mean of `similarity_loss` for the codes as they are and
    for their ``few`` largest latents alone, which else would be good only together with the others.
    With ``gathers`` set, the outputs are those of all processes.
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
    """Those of a model's outputs that are asked for, as all processes together have them; the others differ in shape."""

    def __init__(self, output: Mapping[str, torch.Tensor | None]) -> None:
        super().__init__()
        self._output = output

    def __missing__(self, name: str) -> torch.Tensor | None:
        value = self._output[name]
        self[name] = None if value is None else all_gather_with_grad(value)
        return self[name]


def largest(codes: torch.Tensor, number: int) -> torch.Tensor:
    """Unit vectors of each row's ``number`` largest values: what the code is where only so many latents may be active."""
    values, places = codes.topk(number, dim=1)
    return torch.nn.functional.normalize(torch.zeros_like(codes).scatter(1, places, values), dim=1)


def similarity_loss(codes: torch.Tensor, vectors: torch.Tensor) -> torch.Tensor:
    """How far the codes' similarities in a batch are from those of the vectors they stand for, seen from the batch's mean.

    The Kullback–Leibler divergence of a text's similarities to all others, as in Fang et al. 2021, "SEED" (arXiv 2101.04731).

    Args:
        codes: unit vectors, shape (texts, latents).
        vectors: shape (texts, dimensions).
    """
    centred = torch.nn.functional.normalize(vectors - vectors.mean(dim=0), dim=1)
    others = ~torch.eye(len(vectors), dtype=torch.bool, device=vectors.device)
    ours, base = ((SIMILARITY_SCALE * rows @ rows.T)[others].view(len(rows), -1) for rows in (codes, centred))
    return torch.nn.functional.kl_div(ours.log_softmax(dim=1), base.softmax(dim=1), reduction="batchmean")


def make_loss(model: SparseEncoder, settings: Loss, mini_batch_size: int | None = None) -> CSRLoss:
    """Reconstruction from the k and the 4k largest latents, an auxiliary term for dead latents, and the in-batch contrastive term.

    To these the paper's terms ``similarity_weight`` adds one that keeps the base's similarities, at k and at a quarter of it.
    """
    loss = CSRLoss(model, ranking_loss(model, settings, SCALE), beta=settings.auxiliary_weight, gamma=settings.contrastive_weight)
    [k] = (module.k for module in model if isinstance(module, SparseAutoEncoder))
    loss.reconstruction_loss = ReconstructionLoss(model, settings.auxiliary_weight, settings.similarity_weight, max(1, k // 4))
    return loss


ENCODER = Encoder(build, make_loss, routed=False, query_parameters=None)
