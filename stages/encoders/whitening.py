"""Whitening: dense vectors seen from their mean, in axes whose variances are nearer to each other.

The vectors of most dense models lie in a narrow cone, with a few dimensions that outweigh the rest: Su et al. 2021, "Whitening Sentence
Representations for Better Semantics and Faster Retrieval" (arXiv 2103.15316). The k largest latents of a sparse autoencoder would
mostly tell what all texts share.
"""

from collections.abc import Sequence

import torch
from sentence_transformers.sentence_transformer.modules import Dense
from torch import Tensor, nn

NAME = "whitening"  # of the module, in the model and its modules.json
FLOOR = 0.01  # added to each axis' variance, as a share of their mean: an axis without variance would be all noise


def whitening(kinds: Sequence[Tensor], power: float) -> Dense:
    """The linear map to the vectors' principal axes, each divided by its standard deviation to the ``power``.

    Args:
        kinds: vectors of queries, of documents; shape (rows, dimensions) each. The kinds have means of their own: the origin is
            between them, and what sets them apart does not count as variance.
        power: 0 only moves and turns them, 1 gives all axes the same variance.
    """
    means = torch.stack([vectors.double().mean(dim=0) for vectors in kinds])
    spread = torch.cat([vectors.double() - mean for vectors, mean in zip(kinds, means, strict=True)])
    variances, axes = torch.linalg.eigh(spread.T @ spread / len(spread))
    variances = variances.clamp(min=0) + FLOOR * variances.mean()
    weight = (axes * variances ** (-power / 2)).T.float()
    bias = -weight @ means.mean(dim=0).float()
    size = len(weight)
    return Dense(size, size, activation_function=nn.Identity(), init_weight=weight, init_bias=bias)
