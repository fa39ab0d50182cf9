"""Whether a model, as it is built on a base and not yet trained, can be trained: each failure is one line that says why.

A head whose logits are all positive (NorBERT 4's, as published) makes SPLADE 0% sparse, since relu never gives a zero; memory that nobody
filled gives NaN, which trainers log as loss 0.
"""

from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import torch
from sentence_transformers import SparseEncoder
from sentence_transformers.base.modules import Transformer
from sentence_transformers.util import batch_to_device
from torch import Tensor

from stages.pretrained.check import PROBE
from stages.runtime.errors import UserError

POSITIVE_LIMIT = 0.99  # of a token's logits; random weights give 0.5, a bounded head 1.0


@dataclass(frozen=True)
class HeadProbe:
    """What a masked-LM head gives on `PROBE` before training.

    Attributes:
        positive_share: mean share of positive logits of a token, each text's first and last left out.
        active_dims: mean number of positive dimensions of a text, after the maximum over its tokens.
    """

    positive_share: float
    active_dims: float


def require_sound(model: SparseEncoder, base: Path, limit: float = POSITIVE_LIMIT) -> list[HeadProbe]:
    """Raise UserError unless ``model``, as built on ``base`` and not yet trained, is finite and can be sparse.

    Call it before `fast.model.make_fast`, which hides the logits.

    Args:
        limit: share of positive logits above which a head counts as one that gives no zeros.

    Returns:
        one entry for each masked language model in it; none for CSR.
    """
    embeddings = model.encode_document(list(PROBE), batch_size=len(PROBE), convert_to_sparse_tensor=False)  # a padded batch
    if not torch.isfinite(torch.as_tensor(embeddings)).all():
        raise UserError(
            f"model.base_model: {base} gives NaN or infinite values before any training; its code may not suit the installed "
            "transformers, or its weights are damaged"
        )
    heads = [module for module in model.modules() if isinstance(module, Transformer) and module.transformer_task == "fill-mask"]
    return [require_zeros(head, base, limit) for head in heads]


def require_zeros(transformer: Transformer, base: Path, limit: float = POSITIVE_LIMIT) -> HeadProbe:
    """Raise UserError if nearly all logits of a masked language model are positive, or none is."""
    probe = probe_head(transformer)
    if probe.positive_share > limit:
        raise UserError(
            f"model.base_model: the masked-LM head of {base} gives positive logits for {probe.positive_share:.1%} of the vocabulary, so "
            "that relu gives SPLADE no zeros and the model stays dense; name another base (NorBERT 3 and 4 are repaired by themselves)"
        )
    if probe.active_dims == 0:
        raise UserError(
            f"model.base_model: the masked-LM head of {base} gives no positive logit on any of {len(PROBE)} texts, so that SPLADE starts "
            "with empty vectors and learns nothing; name another base"
        )
    return probe


@torch.no_grad()
def probe_head(transformer: Transformer) -> HeadProbe:
    """Logits of ``transformer`` on `PROBE`, summed up; its mode (training or not) is as before afterwards."""
    training = transformer.training
    transformer.eval()
    features = batch_to_device(transformer.preprocess(list(PROBE)), transformer.model.device)
    logits: Tensor = transformer(features)["token_embeddings"]
    transformer.train(training)
    texts = [text[mask.bool()] for text, mask in zip(logits, features["attention_mask"], strict=True)]
    return HeadProbe(
        positive_share=fmean((text[1:-1] > 0).float().mean().item() for text in texts),  # NorBERT 4's first row is a constant
        active_dims=fmean((text.amax(0) > 0).sum().item() for text in texts),
    )
