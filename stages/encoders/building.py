"""Build a model as it is before its first training step: train starts from it, evaluate scores it as the untrained baseline."""

from collections.abc import Callable, Iterable
from pathlib import Path

from sentence_transformers import SparseEncoder
from transformers import set_seed

from stages.config.settings import TrainSettings
from stages.encoders import csr, inference_free, splade
from stages.encoders.attention import FLASH, attention_errors, attention_of
from stages.encoders.encoder import Encoder
from stages.encoders.fast.model import make_fast
from stages.pretrained.base_check import require_sound
from stages.pretrained.check import require_weights
from stages.pretrained.files import Use, require_positions, task_of
from stages.pretrained.own_code import require_allowed_code

ENCODERS: dict[str, Encoder] = {"splade": splade.ENCODER, "inference-free-splade": inference_free.ENCODER, "csr": csr.ENCODER}
"""The architectures by the names that ``architecture`` in params.yaml may have."""


def build(
    settings: TrainSettings,
    base: Path,
    texts: Callable[[list[str]], Iterable[str]],
    device: str,
    *,
    triton: bool = False,
    split_padding: int = 0,
) -> SparseEncoder:
    """Build the model that ``settings`` describe on ``device``, with the fast modules; print which of them it cannot use.

    Args:
        base: folder of the base model.
        texts: gives the texts of some columns of the training rows (anchor, positive).
        triton: whether the SPLADE head uses the Triton kernel.
        split_padding: see `make_fast`.

    Raises:
        UserError: the base model cannot be used with these settings.
    """
    model_settings = settings.model
    task = task_of(base, "base", settings.architecture)
    use = Use("model.base_model", model_settings.base_model, task, model_settings.trust_remote_code, model_settings.max_seq_length)
    require_allowed_code(base, use)
    require_positions(base, use)
    if settings.architecture != "csr":
        require_weights(base, use)
    set_seed(settings.seed)
    with attention_errors(model_settings.attn_implementation):
        model = ENCODERS[settings.architecture].build(base, model_settings, texts(["positive"]), texts(["anchor"]), device)
        with attention_of(model, FLASH if model_settings.attn_implementation == FLASH else None):
            pass  # fail now rather than at the first step
    model.prompts.update(model_settings.prompts.given())
    require_sound(model, base)
    model.to(device)
    if triton:
        from stages.encoders.fast.triton_maxima import triton_maxima  # only Linux has Triton
    for note in make_fast(model, triton_maxima if triton else None, split_padding):
        print(note, flush=True)
    return model
