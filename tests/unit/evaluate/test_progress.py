"""The bar counts every text once, whether the model encodes it or csr's base."""

from typing import Any

import pytest

from stages.encoders.active_dims import BaseVectors
from stages.evaluate import progress
from stages.retrieval.scoring import encode_set
from stages.retrieval.sets import RetrievalSet


@pytest.mark.parametrize("architecture", ["splade", "inference_free", "csr"])
def test_the_bar_is_full_when_a_set_is_scored(
    architecture: str, binary_set: RetrievalSet, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    bars: list[Any] = []
    stock = progress.tqdm

    def shown(**settings: Any) -> Any:
        bars.append(stock(**{**settings, "disable": False}))
        return bars[-1]

    monkeypatch.setattr(progress, "tqdm", shown)
    model = request.getfixturevalue(architecture)
    with progress.progress(model, "mine", len(binary_set.queries) + len(binary_set.corpus)):
        BaseVectors.of(model, binary_set) if architecture == "csr" else encode_set(model, binary_set)
    [bar] = bars
    assert bar.n == bar.total
    assert not model[0]._forward_hooks
