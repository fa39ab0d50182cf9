"""The model of evaluation.compare_model next to ours."""

from pathlib import Path

import pytest

from stages.evaluate.compare_model import compared, load_sparse
from stages.retrieval.scoring import evaluate
from stages.retrieval.sets import retrieval_set
from stages.retrieval.treatment import UNTREATED, Treatment
from tests import tiny_models
from tests.refused import refused

SET = retrieval_set("set", "nb", {"q": "bok"}, {"d": "en bok", "e": "en avis"}, {"q": {"d": 1.0}}, "here")


@pytest.fixture(params=["splade", "inference-free-splade", "csr"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return tiny_models.save(tmp_path / "compare", request.param)


def test_any_sparse_model_is_scored_as_ours_is(folder: Path, no_network: None) -> None:
    model = load_sparse(folder, False, "cpu", UNTREATED)
    run, metrics = compared(model, SET, 2)
    ours = evaluate(model.model, SET, 2)
    assert run == ours.run
    assert metrics == {f"compare_{name}": ours.metrics[name] for name in ("ndcg@10", "query_active_dims", "corpus_active_dims")}


def test_its_code_needs_permission(folder: Path) -> None:
    config = next(folder.rglob("config.json"))
    config.write_text(config.read_text().replace('"model_type": "bert"', '"model_type": "own", "auto_map": {"AutoConfig": "own.Config"}'))
    with refused("evaluation.compare_model", "Python code"):
        load_sparse(folder, False, "cpu", UNTREATED)


def test_its_long_documents_are_treated_as_its_own_file_says_or_as_ours(tmp_path: Path) -> None:
    folder, ours = tiny_models.save(tmp_path / "compare", "splade"), Treatment("max_score", overlap=4, max_query_dims=3)
    assert load_sparse(folder, False, "cpu", ours).treatment == Treatment("max_score", overlap=4)
    Treatment("max_vector").write(folder)
    assert load_sparse(folder, False, "cpu", ours).treatment == Treatment("max_vector")
