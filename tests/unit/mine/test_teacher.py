"""What a teacher scores: its own prompts, the best window of a long document, each kind of model."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sentence_transformers import CrossEncoder, SentenceTransformer, SparseEncoder

from stages.mine import teacher as module
from stages.mine.teacher import teacher
from stages.retrieval.treatment import Treatment
from tests.unit.mine.test_assembly import models  # noqa: F401 – the tiny models

KINDS: dict[str, Any] = {"dense": SentenceTransformer, "sparse": SparseEncoder, "cross-encoder": CrossEncoder}
PAIRS = [("hvor er oslo", "oslo er her"), ("hvem", "oslo er her"), ("hvor er oslo", ""), ("hvem", "han der borte")]
LONG = "0 1 2 " * 20 + "øåæ"


def alone(model: Any, query: str, document: str) -> float:
    """The score of one pair by the model's own methods."""
    if isinstance(model, CrossEncoder):
        return float(model.predict([(query, document)], activation_fn=lambda scores: scores)[0])
    vectors = model.encode_query([query], convert_to_tensor=True), model.encode_document([document], convert_to_tensor=True)
    return float(model.similarity(*vectors).to_dense()[0, 0])


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_model_scores_pairs_by_its_own_similarity(kind: str, models: Path) -> None:  # noqa: F811
    model = KINDS[kind](str(models / kind))
    found = teacher(model, Treatment("max_score", 32))(PAIRS)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, [alone(model, *pair) for pair in PAIRS], atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("long_documents", ["max_score", "cut"])
def test_a_long_document_has_the_score_of_its_best_window_or_of_its_beginning(
    kind: str,
    long_documents: Any,
    models: Path,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = KINDS[kind](str(models / kind))
    teach = teacher(model, Treatment(long_documents, 12, 2))
    assert teach._windows
    [windows] = teach._windows.split([LONG])
    assert len(windows) > 3 and windows[-1].endswith("øåæ")
    scores = [alone(model, "øåæ", window) for window in windows]
    expected = max(scores) if long_documents == "max_score" else scores[0]
    monkeypatch.setattr(module, "AT_ONCE", 2)  # several portions
    found = teach([("øåæ", "kort"), ("øåæ", LONG), ("hva", "kort"), ("øåæ", LONG)])
    assert found[1] == found[3] == pytest.approx(expected, abs=1e-5)
    assert found[2] == pytest.approx(alone(model, "hva", "kort"), abs=1e-5)


@pytest.mark.parametrize("kind", ["dense", "sparse"])
def test_prompts_count(kind: str, models: Path) -> None:  # noqa: F811
    prompts = {"query": "om: ", "document": "tekst: "}
    plain, prompted = (KINDS[kind](str(models / kind), **options) for options in ({}, {"prompts": prompts}))
    [found] = teacher(prompted, Treatment("max_score", 32))([("hvem", "han der")])
    vectors = plain.encode(["om: hvem"], convert_to_tensor=True), plain.encode(["tekst: han der"], convert_to_tensor=True)
    assert found == pytest.approx(float(plain.similarity(*vectors).to_dense()[0, 0]), abs=1e-5)
