from dataclasses import replace

import numpy as np
import pytest
import torch
from sentence_transformers import SparseEncoder

from stages.encoders.active_dims import BaseVectors, codes
from stages.retrieval.scoring import encode_set, evaluate
from stages.retrieval.sets import RetrievalSet
from stages.retrieval.treatment import Treatment


@pytest.mark.parametrize("active_dims", [2, 8, 500])
def test_a_code_is_what_the_model_gives_with_that_many_active_dimensions(
    csr: SparseEncoder, binary_set: RetrievalSet, active_dims: int
) -> None:
    vectors = BaseVectors.of(csr, binary_set)
    with torch.inference_mode():
        ours = codes(csr, vectors.documents, active_dims)
    theirs = csr.encode_document(list(binary_set.corpus.values()), max_active_dims=min(active_dims, 64)).to_dense()
    assert torch.allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize("long_documents", ["cut", "max_vector", "max_score"])
def test_the_bases_vectors_become_the_models(csr: SparseEncoder, binary_set: RetrievalSet, long_documents: str) -> None:
    texts = list(binary_set.corpus.values())
    joined = {key: " ".join(texts[place : place + place % 4]) for place, key in enumerate(binary_set.corpus)}  # each fourth one is empty
    longer = replace(binary_set, corpus=joined)
    treatment = Treatment(long_documents, 12, 2)  # type: ignore[arg-type]
    ours, theirs = BaseVectors.of(csr, longer, treatment=treatment).encoded(csr), encode_set(csr, longer, treatment=treatment)
    assert np.array_equal(ours.starts, theirs.starts)
    for mine, stock in ((ours.queries, theirs.queries), (ours.documents, theirs.documents)):
        assert mine.dtype == stock.dtype and mine.indices.dtype == stock.indices.dtype
        assert np.allclose(mine.toarray(), stock.toarray(), atol=1e-5)


def test_training_after_scoring_counts_no_dead_latents(csr: SparseEncoder, binary_set: RetrievalSet) -> None:
    autoencoder = csr[2]
    before = autoencoder.stats_last_nonzero.clone()
    csr.train()
    assert BaseVectors.of(csr, binary_set).ndcg(csr, 8) == pytest.approx(evaluate(csr, binary_set).metrics["ndcg@10"])
    csr.eval()
    assert torch.equal(autoencoder.stats_last_nonzero, before)
