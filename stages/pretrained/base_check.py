"""Check that a model just built on its base can be trained: its embeddings are finite, and its masked-LM head gives zeros.

If all logits are positive (NorBERT 4's, as published), relu never gives a zero and SPLADE ends 0% sparse. Weights in uninitialised memory
give NaN, which trainers log as loss 0.
"""

from pathlib import Path
from statistics import fmean

import torch
from sentence_transformers import SparseEncoder
from sentence_transformers.base.modules import Transformer
from sentence_transformers.util import batch_to_device
from torch import Tensor

from stages.pretrained.check import PROBE
from stages.runtime.errors import UserError

POSITIVE_LIMIT = 0.99  # largest share of positive logits; random weights give 0.5, a head like NorBERT 4's 1.0


def require_sound(model: SparseEncoder, base: Path) -> None:
    """Raise UserError unless the untrained ``model`` gives finite embeddings and each masked-LM head in it passes `require_zeros`.

    Call it before `fast.model.make_fast`, which removes the logits from the output.
    """
    embeddings = model.encode_document(list(PROBE), batch_size=len(PROBE), convert_to_sparse_tensor=False)  # a padded batch
    if not torch.isfinite(torch.as_tensor(embeddings)).all():
        raise UserError(
            f"model.base_model: {base} gives NaN or infinite values before training; its code may not work with the installed "
            "transformers, or its weights are damaged: name another base"
        )
    for module in model.modules():
        if isinstance(module, Transformer) and module.transformer_task == "fill-mask":
            require_zeros(module, base)


def require_zeros(transformer: Transformer, base: Path) -> None:
    """Raise UserError if more than `POSITIVE_LIMIT` of a masked language model's logits are positive, or none is."""
    positive_share, active_dims = probe_head(transformer)
    if positive_share > POSITIVE_LIMIT:
        raise UserError(
            f"model.base_model: the masked-LM head of {base} gives positive logits for {positive_share:.1%} of the vocabulary, so "
            "SPLADE's relu gives no zeros and the model stays dense; name another base (NorBERT 3 and 4 are repaired automatically)"
        )
    if active_dims == 0:
        raise UserError(
            f"model.base_model: the masked-LM head of {base} gives no positive logit for any of {len(PROBE)} texts, so SPLADE starts "
            "with empty vectors and cannot learn; name another base"
        )


@torch.no_grad()
def probe_head(transformer: Transformer) -> tuple[float, float]:
    """Run ``transformer`` on `PROBE` in evaluation mode, and restore its mode.

    Returns:
        the share of positive logits, averaged over tokens (a text's first and last token left out), and the number of dimensions that
        are positive after the maximum over a text's tokens, averaged over texts.
    """
    training = transformer.training
    transformer.eval()
    features = batch_to_device(transformer.preprocess(list(PROBE)), transformer.model.device)
    logits: Tensor = transformer(features)["token_embeddings"]
    transformer.train(training)
    texts = [text[mask.bool()] for text, mask in zip(logits, features["attention_mask"], strict=True)]
    return (
        fmean((text[1:-1] > 0).float().mean().item() for text in texts),  # NorBERT 4's first row is a constant
        fmean((text.amax(0) > 0).sum().item() for text in texts),
    )
