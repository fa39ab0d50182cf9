"""Flash attention for the steps of a training, and for nothing else: it takes no float32, in which models are checked, scored and saved.

With it sentence-transformers leaves padding out: a batch is one long row of tokens.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from sentence_transformers import SparseEncoder
from sentence_transformers.base.modules import Transformer

from stages.runtime.errors import UserError

FLASH = "flash_attention_2"


def model_attention(model: SparseEncoder) -> str | None:
    """The attention of its first transformer; None where there is none."""
    return next((module.model.config._attn_implementation for module in model.modules() if isinstance(module, Transformer)), None)


@contextmanager
def attention_of(model: SparseEncoder, implementation: str | None) -> Iterator[None]:
    """While it lasts, the transformers in ``model`` have this attention; None leaves them as they are.

    Raises:
        ImportError: its package is missing.
        ValueError: a transformer has no such attention.
    """
    transformers = [module for module in model.modules() if isinstance(module, Transformer)] if implementation else []
    before = [transformer.model.config._attn_implementation for transformer in transformers]
    try:
        for transformer in transformers:
            _set(transformer, str(implementation))
        yield
    finally:
        for transformer, own in zip(transformers, before, strict=True):
            _set(transformer, own)


def _set(transformer: Transformer, implementation: str) -> None:
    model = transformer.model
    if model.config._attn_implementation != implementation:
        model.set_attn_implementation(implementation)
        if model.config._attn_implementation != implementation:
            raise ValueError(f"{type(model).__name__} cannot change its attention to {implementation}")
    transformer.unpad_inputs = transformer.unpad_inputs  # looks anew whether padding can be left out


@contextmanager
def attention_in_one_line(implementation: str | None) -> Iterator[None]:
    """While a model is loaded: what it or this machine cannot do of the attention asked for is the user's to change.

    Raises:
        UserError: the model has no such attention, or its package is missing.
    """
    try:
        yield
    except (ValueError, ImportError) as error:
        if implementation is None:
            raise
        raise UserError(
            f"params.yaml: model.attn_implementation: {implementation} is not possible here ({error}); set it to null"
        ) from error
