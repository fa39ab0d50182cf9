"""Long documents in one vector or in several entries, always of what the model gives each window."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import csr_array
from sentence_transformers import SparseEncoder
from sentence_transformers.base.modules import Transformer
from sentence_transformers.sparse_encoder.modules import SpladePooling

from stages.retrieval import documents
from stages.retrieval.documents import best_window, encode_documents, maxima, truncation
from stages.retrieval.scoring import evaluate
from stages.retrieval.sets import RetrievalSet
from stages.retrieval.treatment import UNTREATED, Treatment
from stages.retrieval.windows import Windows
from tests.unit.conftest import WORDS

LONG = [" ".join(WORDS[place:] + WORDS[:place] * 3) for place in (0, 5, 9)]  # 18 to 54 words; the model takes 30
TEXTS = ["havtur", LONG[0] * 2, "", LONG[1], "skogvann byvann", LONG[2] * 3]
VECTOR, SCORE = (Treatment(mode, window=16, overlap=3) for mode in ("max_vector", "max_score"))
MODELS = pytest.mark.parametrize("architecture", ["splade", "inference_free", "csr"])


def stock(model: SparseEncoder, texts: list[str]) -> np.ndarray:
    return model.encode_document(texts, convert_to_sparse_tensor=False).numpy()


def windows_of(model: SparseEncoder, treatment: Treatment) -> list[list[str]]:
    windows = Windows.of(model, treatment)
    assert windows
    return windows.split(TEXTS)


@MODELS
def test_max_vector_is_the_maximum_of_the_stock_vectors_of_the_windows(
    architecture: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = request.getfixturevalue(architecture)
    parts = windows_of(model, VECTOR)
    assert [len(part) > 1 for part in parts] == [False, True, False, True, False, True]
    expected = np.stack([stock(model, part).max(axis=0) for part in parts])
    for chunk in (documents.CHUNK, 3):  # fewer than a document's windows
        monkeypatch.setattr(documents, "CHUNK", chunk)
        entries, starts = encode_documents(model, TEXTS, VECTOR, batch_size=4)
        np.testing.assert_allclose(entries.toarray(), expected, atol=1e-5)
        assert starts.tolist() == list(range(len(TEXTS) + 1))


@MODELS
def test_max_score_counts_the_best_window(architecture: str, request: pytest.FixtureRequest) -> None:
    model = request.getfixturevalue(architecture)
    parts = windows_of(model, SCORE)
    ids = [f"d{place}" for place in range(len(TEXTS))]
    made = RetrievalSet("made", None, {"q": "havtur skogvann"}, dict(zip(ids, TEXTS, strict=True)), {"q": {"d1": 1.0}})
    result = evaluate(model, made, treatment=SCORE)
    query = model.encode_query(["havtur skogvann"], convert_to_sparse_tensor=False).numpy()[0]
    scores = [stock(model, part) @ query for part in parts]
    assert result.run["q"] == pytest.approx({document: float(each.max()) for document, each in zip(ids, scores, strict=True)}, abs=1e-4)
    assert np.diff(result.encoded.starts).tolist() == [len(part) for part in parts]
    best = best_window(model, "havtur skogvann", TEXTS[5], SCORE)
    assert best in parts[5] and scores[5][parts[5].index(best)] == pytest.approx(scores[5].max(), abs=1e-4)
    assert best_window(model, "havtur skogvann", TEXTS[5], VECTOR) == TEXTS[5]


@pytest.mark.parametrize("mode", ["max_vector", "max_score"])
def test_short_documents_score_to_the_bit_as_if_they_were_cut(splade: SparseEncoder, binary_set: RetrievalSet, mode: str) -> None:
    assert evaluate(splade, binary_set, treatment=Treatment(mode)).run == evaluate(splade, binary_set).run  # type: ignore[arg-type]


def test_an_answer_at_the_end_of_a_long_document_is_found_by_windows_only(base: Path, binary_set: RetrievalSet) -> None:
    model = SparseEncoder(modules=[Transformer(str(base), transformer_task="fill-mask", max_seq_length=32), SpladePooling("max")])
    corpus = {"end": "Kommunen tømmer søppelet hver mandag. " * 9 + "Ferja går frå kaia.", "other": "Hvor meget koster en billet?"}
    one = replace(binary_set, corpus=corpus, queries={"q": "når går ferja"}, qrels={"q": {"end": 1.0}})
    cut, vector, score = (evaluate(model, one, treatment=each).run["q"] for each in (UNTREATED, VECTOR, SCORE))
    assert vector["end"] > 2 * cut["end"] and score["end"] > 2 * cut["end"]


def test_maxima_of_rows() -> None:
    rows = np.array([[0, 1, 2, 0], [0, 3, 0, 0], [0, 0, 0, 0], [4, 0, 0, 0], [0, 0, 0, 5], [0, 0, 0, 0]], np.float32)
    joined = maxima(csr_array(rows), [2, 1, 2, 1])
    assert joined.toarray().tolist() == [[0, 3, 2, 0], [0, 0, 0, 0], [4, 0, 0, 5], [0, 0, 0, 0]]
    assert joined.dtype == np.float32 and joined.has_sorted_indices
    assert maxima(csr_array(np.zeros((3, 2), np.float32)), [3]).toarray().tolist() == [[0, 0]]


def test_what_is_cut_is_counted(splade: SparseEncoder) -> None:
    texts = ["havtur " * 10, "havtur " * 30, "havtur " * 60, "havtur " * 100]  # 30 fit beside two special tokens
    assert truncation(splade, texts, UNTREATED) == {"documents_cut": 0.5, "tokens_lost": 100 / 200}
    assert truncation(splade, texts[:2], UNTREATED) == {"documents_cut": 0.0, "tokens_lost": 0.0}
    assert truncation(splade, texts, SCORE) == {"documents_cut": 0.0, "tokens_lost": 0.0}
