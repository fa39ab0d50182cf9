"""Curves of pruning: against searching pruned vectors one by one, and on small and large sets."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import csr_array

from stages.evaluate import curves as module
from stages.evaluate.curve_pictures import draw_curves
from stages.evaluate.curves import CURVES, MASSES, Point, as_json, curves, keeps, sample, top_settings
from stages.retrieval.pruning import Ranked
from stages.retrieval.scores import score
from stages.retrieval.scoring import retrieve
from stages.retrieval.sets import RetrievalSet
from stages.retrieval.vectors import Encoded


def drawn(queries: int = 12, documents: int = 60, own: bool = False) -> tuple[Encoded, RetrievalSet]:
    """A set whose queries are noisy parts of their documents."""
    generator = np.random.default_rng(1)
    dense = generator.gamma(1.0, 1.0, (documents, 80)) * (generator.random((documents, 80)) < 0.25)
    parts = dense[:queries] * (generator.random((queries, 80)) < 0.3) + (generator.random((queries, 80)) < 0.05)
    ids = [f"d{number}" for number in range(documents)]
    names = ids[:queries] if own else [f"q{number}" for number in range(queries)]
    qrels = {name: {f"d{(number + own) % documents}": 1.0} for number, name in enumerate(names)}
    some = RetrievalSet("some", None, dict.fromkeys(names, "text"), dict.fromkeys(ids, "text"), qrels, own=frozenset(names if own else ()))
    return Encoded.whole(csr_array(parts.astype(np.float32)), csr_array(dense.astype(np.float32))), some


@pytest.mark.parametrize("own", [False, True])
def test_each_point_is_the_score_of_the_pruned_vectors(own: bool) -> None:
    encoded, some = drawn(own=own)
    found = curves(encoded, some, retrieve(encoded, some))
    assert tuple(found) == CURVES
    for name, points in found.items():
        side = encoded.documents if name.startswith("documents") else encoded.queries
        for point in points:
            pruned = Ranked(side).top(int(point.setting)) if name.endswith("top_k") else Ranked(side).mass(point.setting)
            sides = (encoded.queries, pruned) if side is encoded.documents else (pruned, encoded.documents)
            expected = score(retrieve(Encoded.whole(*sides), some), some.qrels)["ndcg@10"]
            assert (point.dims, point.ndcg) == (pytest.approx(pruned.nnz / side.shape[0]), expected)
        assert points[-1].dims == side.nnz / side.shape[0]
        assert all(before.setting < after.setting and before.dims <= after.dims for before, after in pairwise(points))


def test_settings_of_top_k_fit_the_vectors() -> None:
    assert top_settings(np.array([110, 100, 120, 300])) == [20, 30, 40, 60, 80, 120, 160, 320]
    assert top_settings(np.array([1])) == [1]
    assert top_settings(np.array([0, 0])) == [1]
    assert 120 in top_settings(np.full(10, 250))


def test_keeps_names_the_smallest_setting_from_which_on_all_have_99_percent() -> None:
    scores = {2: 0.5, 4: 0.792, 8: 0.7, 16: 0.81, 32: 0.8}
    assert keeps([Point(setting, setting, ndcg) for setting, ndcg in scores.items()]) == 16
    assert keeps([Point(1, 1, 0.8)]) == 1


def test_nothing_is_named_where_nothing_is_found() -> None:
    assert keeps([Point(1, 1, 0.0), Point(2, 2, 0.0)]) is None


def test_one_document_and_one_query(tmp_path: Path) -> None:
    encoded, some = drawn(queries=1, documents=1)
    found = curves(encoded, some, retrieve(encoded, some))
    written = as_json({"some": found})["some"]
    assert all(written[name]["keeps_99"] == written[name]["points"][0]["setting"] for name in CURVES)
    assert written["documents_mass"]["points"][-1] == {"setting": 1.0, "dims": float(encoded.documents.nnz), "ndcg@10": 1.0}


def test_a_model_that_gives_empty_vectors_has_curves_and_a_picture(tmp_path: Path) -> None:
    encoded, some = drawn()
    empty = Encoded.whole(csr_array(encoded.queries.shape, dtype=np.float32), csr_array(encoded.documents.shape, dtype=np.float32))
    found = curves(empty, some, retrieve(empty, some))
    assert all(points[-1].dims == 0 for points in found.values())
    draw_curves({"some": found}, tmp_path / "curves.png")
    assert (tmp_path / "curves.png").stat().st_size > 1000


def test_windows_are_pruned_one_by_one_and_the_best_counts() -> None:
    encoded, some = drawn()
    windows = Encoded(encoded.queries, csr_array(np.repeat(encoded.documents.toarray(), 2, axis=0)), np.arange(0, 121, 2))
    found, whole = (curves(each, some, retrieve(each, some)) for each in (windows, encoded))
    assert found == whole


def test_a_large_corpus_is_represented_by_the_results_with_the_same_unpruned_score(monkeypatch: pytest.MonkeyPatch) -> None:
    encoded, some = drawn(queries=20, documents=400)
    windows = Encoded(encoded.queries, csr_array(np.repeat(encoded.documents.toarray(), 2, axis=0)), np.arange(0, 801, 2))
    run = retrieve(windows, some)
    monkeypatch.setattr(module, "QUERIES", 5)
    monkeypatch.setattr(module, "DOCUMENTS", 300)
    few, ids, queries = sample(windows, some, run)
    assert queries == [f"q{number}" for number in range(0, 20, 4)] and len(ids) == len(few.starts) - 1 < 400
    assert few.documents.shape[0] == 2 * len(ids)
    points = curves(windows, some, run)["documents_top_k"]
    assert points[-1].ndcg == score({query: run[query] for query in queries}, {query: some.qrels[query] for query in queries})["ndcg@10"]


@pytest.mark.parametrize("sets", [0, 1, 30])
def test_the_picture_has_any_number_of_sets(sets: int, tmp_path: Path) -> None:
    encoded, some = drawn()
    found = curves(encoded, some, retrieve(encoded, some))
    draw_curves({f"set {number}": found for number in range(sets)}, tmp_path / "curves.png")
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_masses_end_with_the_whole_vector() -> None:
    assert list(MASSES) == sorted(MASSES) and MASSES[-1] == 1
