"""Record the shapes that go through a model's transformer."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from sentence_transformers import SparseEncoder
from sentence_transformers.base.modules import Transformer


@contextmanager
def watched(model: SparseEncoder) -> Iterator[list[tuple[int, ...]]]:
    """Shapes of the token ids that the transformer's inner model is given: (rows, width)."""
    seen: list[tuple[int, ...]] = []
    [inner] = {module.model for module in model.modules() if isinstance(module, Transformer)}

    def forward(*, input_ids: torch.Tensor, **others: Any) -> Any:
        seen.append(tuple(input_ids.shape))
        return type(inner).forward(inner, input_ids=input_ids, **others)

    inner.__dict__["forward"] = forward
    yield seen
    del inner.__dict__["forward"]
