"""Whitening: dense vectors, centred, on axes of more equal variance of which each text has few; without what tells queries from documents.

Su et al. 2021, "Whitening Sentence Representations for Better Semantics and Faster Retrieval" (arXiv 2103.15316), in three steps, none of
which needs training. The vectors of most dense models lie in a narrow cone, and those of queries apart from those of documents: both would
take latents from every text and tell nothing. Principal axes spread each text over many axes. Rotated so that the sum of
fourth powers is large, a text has a few large values (Zhai et al. 2020, "Complete Dictionary Learning via l4-Norm Maximization over
the Orthogonal Group", arXiv 1906.02435). A rotation changes no dot product. docs/csr.md has what each step gains.
"""

from collections.abc import Sequence

import torch
from sentence_transformers.sentence_transformer.modules import Dense
from torch import Tensor, nn
from torch.nn.functional import normalize

NAME = "whitening"  # of the module, in the model and its modules.json
FLOOR = 1.0  # added to each axis' variance, as a share of the mean variance: the variances of a few hundred texts are poor estimates
EPSILON = 1e-9  # a variance that is not zero, for texts that are all the same
ROTATIONS = 30  # iterations; the nDCG@10 no longer changes after about ten


def whitening(kinds: Sequence[Tensor], power: float, most: int | None = None) -> Dense:
    """The linear map to the vectors' axes of largest variance, each divided by its standard deviation to the ``power``.

    Args:
        kinds: vectors of documents and, if there are any, of queries, shape (rows, dimensions) each. Both count alike. The origin is
            halfway between their means, and the direction from the one to the other is left out: it would be the same for all texts of
            a kind. The kind with more texts chooses the rotation: that of a few hundred texts would suit only them.
        power: 0 only centres and rotates, 1 gives all axes the same variance, up to `FLOOR`.
        most: number of axes, at most. With fewer, the k largest values of a text are more of it.
    """
    kinds = [vectors.double().cpu() for vectors in kinds]
    means = torch.stack([vectors.mean(dim=0) for vectors in kinds])
    origin, offset = means.mean(dim=0), normalize(means[-1:] - means[0], dim=1)
    covariance = torch.stack([vectors.T.cov(correction=0) for vectors in kinds]).mean(dim=0)
    covariance += torch.eye(len(origin), dtype=origin.dtype) * (FLOOR * covariance.diagonal().mean()).clamp(min=EPSILON)
    kept = torch.eye(len(origin), dtype=origin.dtype) - offset.T @ offset
    variances, axes = torch.linalg.eigh(kept @ covariance @ kept)
    if offset.any():
        variances, axes = variances[1:], axes[:, 1:]  # the direction left out
    if most is not None:
        variances, axes = variances[-most:], axes[:, -most:]
    weight = (axes * variances ** (-power / 2)).T
    weight = rotation(normalize((max(kinds, key=len) - origin) @ weight.T, dim=1)) @ weight
    weight = weight.float()
    return Dense(len(origin), len(weight), activation_function=nn.Identity(), init_weight=weight, init_bias=-weight @ origin.float())


def rotation(vectors: Tensor) -> Tensor:
    """The orthogonal matrix after which the sum of the fourth powers of ``vectors``, shape (rows, dimensions), is (locally) largest."""
    matrix = torch.eye(vectors.shape[1], dtype=vectors.dtype)
    for _ in range(ROTATIONS):
        left, _, right = torch.linalg.svd((vectors @ matrix.T).pow(3).T @ vectors)
        matrix = left @ right
    return matrix
