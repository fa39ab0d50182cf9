"""Scores of a CSR model, its control and its base come from one encoding of the set."""

import copy
from collections import Counter
from pathlib import Path

import pytest
import torch
from sentence_transformers import SparseEncoder

from stages.encoders.active_dims import BaseVectors
from stages.evaluate.baselines import Baselines
from stages.evaluate.scorer import Attempt, Scorer
from stages.evaluate.untrained import Untrained
from stages.retrieval.scoring import evaluate
from stages.retrieval.sets import RetrievalSet
from stages.retrieval.treatment import Treatment


@pytest.fixture
def control(csr: SparseEncoder) -> SparseEncoder:
    """Another autoencoder on copies of the same base's weights."""
    model = copy.deepcopy(csr)
    torch.nn.init.normal_(model[2].encoder.weight, generator=torch.Generator().manual_seed(5))
    return model


@pytest.mark.parametrize("long_documents", ["cut", "max_vector", "max_score"])
@pytest.mark.parametrize("pruned", [None, 5])
def test_the_base_encodes_a_set_once_for_a_csr_model_and_its_control(
    csr: SparseEncoder, control: SparseEncoder, binary_set: RetrievalSet, long_documents: str, pruned: int | None, tmp_path: Path
) -> None:
    treatment = Treatment(long_documents, 12, 2, max_document_dims=pruned)  # type: ignore[arg-type]
    theirs, untreated = (evaluate(model, binary_set, treatment=treatment).metrics for model in (csr, control))
    texts = len(binary_set.queries) + sum(BaseVectors.of(csr, binary_set, treatment=treatment).counts)
    encoded: Counter[SparseEncoder] = Counter()
    hooks = [
        model[0].register_forward_hook(lambda _, arguments, __, model=model: encoded.update({model: len(arguments[0]["input_ids"])}))
        for model in (csr, control)
    ]
    untrained = Untrained(lambda: control, "control", tmp_path)
    found = Scorer(csr, treatment, Baselines(), None, untrained, [4, 8], 32, Attempt()).score(binary_set).metrics
    for hook in hooks:
        hook.remove()
    assert encoded == {csr: texts}
    assert {key: found[key] for key in theirs} == pytest.approx(theirs)
    assert found["control_ndcg@10"] == found["untrained_ndcg@10"] == pytest.approx(untreated["ndcg@10"])
    unpruned = "unpruned_ndcg@10" if pruned else "ndcg@10"
    assert found["ndcg@10_at_8_dims"] == pytest.approx(theirs[unpruned])
    assert found["control_ndcg@10_at_8_dims"] == pytest.approx(untreated[unpruned])
    assert found["control_ndcg@10"] != found["ndcg@10"] and found["ndcg@10_at_4_dims"] != found["ndcg@10_at_8_dims"]
