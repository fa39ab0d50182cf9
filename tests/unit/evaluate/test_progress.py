"""The bar counts every text once, and twice for csr, whose dense base is scored too."""

from typing import Any

import pytest

from stages.evaluate import progress
from stages.evaluate.sparsifying import sparsifying_cost
from stages.retrieval.scoring import evaluate
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
        evaluate(model, binary_set)
        sparsifying_cost(model, binary_set, [2])
    [bar] = bars
    assert bar.n == bar.total
    assert not model[0]._forward_hooks
