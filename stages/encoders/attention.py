"""Switch a model to flash attention for its training steps only: checks, evaluation and saving use float32, which it does not support.

With flash attention sentence-transformers removes padding: a batch becomes one long row of tokens. Not yet run on a GPU.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from sentence_transformers import SparseEncoder
from sentence_transformers.base.modules import Transformer

from stages.runtime.errors import UserError

FLASH = "flash_attention_2"


def model_attention(model: SparseEncoder) -> str | None:
    """The attention implementation of the model's first transformer; None if it has no transformer."""
    return next((module.model.config._attn_implementation for module in model.modules() if isinstance(module, Transformer)), None)


@contextmanager
def attention_of(model: SparseEncoder, implementation: str | None) -> Iterator[None]:
    """Use this attention implementation in all transformers of ``model`` within the context; None changes nothing.

    Raises:
        ImportError: the implementation's package is missing.
        ValueError: a transformer does not support it.
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
            raise ValueError(f"{type(model).__name__} does not support {implementation}")
    transformer.unpad_inputs = transformer.unpad_inputs  # its setter checks again whether padding can be removed


@contextmanager
def attention_errors(implementation: str | None) -> Iterator[None]:
    """Turn a library's errors about this attention implementation into a one-line error, while a model is loaded.

    Raises:
        UserError: the model does not support it, or its package is missing.
    """
    try:
        yield
    except (ValueError, ImportError) as error:
        if implementation is None:
            raise
        raise UserError(f"model.attn_implementation: {implementation} cannot be used here ({error}); set it to null") from error
