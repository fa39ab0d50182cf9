import pytest
import torch
from sentence_transformers import SparseEncoder

from stages.encoders.active_dims import BaseVectors, codes
from stages.retrieval.scoring import evaluate
from stages.retrieval.sets import RetrievalSet


@pytest.mark.parametrize("active_dims", [2, 8, 500])
def test_a_code_is_what_the_model_gives_with_that_many_active_dimensions(
    csr: SparseEncoder, binary_set: RetrievalSet, active_dims: int
) -> None:
    vectors = BaseVectors.of(csr, binary_set)
    with torch.inference_mode():
        ours = codes(csr, vectors.documents, active_dims)
    theirs = csr.encode_document(list(binary_set.corpus.values()), max_active_dims=min(active_dims, 64)).to_dense()
    assert torch.allclose(ours, theirs, atol=1e-5)


def test_training_after_scoring_counts_no_dead_latents(csr: SparseEncoder, binary_set: RetrievalSet) -> None:
    autoencoder = csr[2]
    before = autoencoder.stats_last_nonzero.clone()
    csr.train()
    assert BaseVectors.of(csr, binary_set).ndcg(csr, 8) == pytest.approx(evaluate(csr, binary_set).metrics["ndcg@10"])
    csr.eval()
    assert torch.equal(autoencoder.stats_last_nonzero, before)
