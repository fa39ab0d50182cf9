import pytest
import torch

from stages.encoders.whitening import whitening

RANDOM = torch.Generator().manual_seed(0)


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0])
def test_whitening_evens_out_the_variances(power: float) -> None:
    documents = torch.randn(500, 6, generator=RANDOM) * torch.tensor([5.0, 1, 1, 1, 1, 1]) + 3
    spread = torch.linalg.svdvals(whitening([documents], power)({"sentence_embedding": documents})["sentence_embedding"])
    before = torch.linalg.svdvals(documents - documents.mean(dim=0))
    ratio = float(spread[0] / spread[-1]) / float(before[0] / before[-1])
    assert ratio == pytest.approx(1, abs=1e-3) if power == 0 else ratio < 0.8


def test_texts_that_are_all_the_same_give_finite_vectors() -> None:
    documents = torch.ones(3, 6)
    for kinds in ([documents], [documents, documents], [documents, 2 * documents], [documents[:1], documents[:1]]):
        weights = whitening(kinds, 0.5)
        assert weights.linear.weight.isfinite().all() and weights.linear.bias.isfinite().all()
