"""The table of queries and the TREC files hold what the scores were computed from."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from statistics import fmean

import ir_measures
import numpy as np
import pyarrow.parquet as pq
import pytest
from ir_measures import RR, R, nDCG
from scipy.sparse import csr_array
from sentence_transformers import SparseEncoder

from stages.evaluate.query_files import dimension_names, write_queries
from stages.evaluate.terms import matches, represent
from stages.retrieval import bm25
from stages.retrieval.scores import Run, rank, score, score_by_query
from stages.retrieval.scoring import evaluate
from stages.retrieval.sets import RetrievalSet
from stages.retrieval.vectors import Encoded


def written(folder: Path, retrieval_set: RetrievalSet, runs: dict[str, Run], encoded: Encoded | None = None) -> list[dict]:
    write_queries(folder, retrieval_set, runs, encoded, lambda dimensions: [f"t{each}" for each in dimensions])
    return pq.read_table(folder / f"{retrieval_set.name.replace('/', '__')}.parquet").to_pylist()


@pytest.mark.parametrize("graded", [False, True])
def test_scores_by_query_and_means_agree_with_ir_measures_on_the_trec_files(
    graded: bool, splade: SparseEncoder, binary_set: RetrievalSet, tmp_path: Path
) -> None:
    """BM25 has few documents a query; a model scores many documents of this set equally, some at 0."""
    qrels = {query: {d: place + 1.0 for place, d in enumerate(grades)} for query, grades in binary_set.qrels.items()}
    retrieval_set = replace(binary_set, qrels=qrels) if graded else binary_set
    ties = {query: {document: float(len(document) % 2) for document in binary_set.corpus} for query in binary_set.queries}
    runs = {"model": evaluate(splade, retrieval_set).run, "bm25": bm25.retrieve(retrieval_set), "ties": ties}
    rows = written(tmp_path, retrieval_set, runs)
    judged = [ir_measures.Qrel(query, d, int(grade)) for query, grades in retrieval_set.qrels.items() for d, grade in grades.items()]
    for system, run in runs.items():
        peer = list(ir_measures.read_trec_run(str(tmp_path / f"made-up.{system}.trec")))
        theirs = {each.query_id: each.value for each in ir_measures.iter_calc([nDCG @ 10], judged, peer)}
        ours = {query: scores["ndcg@10"] for query, scores in score_by_query(run, retrieval_set.qrels).items()}
        assert ours == pytest.approx({query: theirs.get(query, 0.0) for query in ours}, abs=1e-6)
        assert [row[f"{system}_ndcg@10"] for row in rows] == list(ours.values())
        means = ir_measures.calc_aggregate([nDCG @ 10, RR @ 10, R @ 100], judged, peer)
        assert score(run, retrieval_set.qrels) == pytest.approx(
            {"ndcg@10": means[nDCG @ 10], "mrr@10": means[RR @ 10], "recall@100": means[R @ 100]}, abs=1e-6
        )
        assert score(run, retrieval_set.qrels)["ndcg@10"] == pytest.approx(fmean(ours.values()), abs=1e-12)


def test_a_row_names_the_relevant_document_and_the_first_wrong_one(tmp_path: Path) -> None:
    qrels = {"found": {"a": 1.0, "b": 2.0}, "missed": {"b": 1.0, "c": 3.0}, "textless": {"gone": 1.0}}
    corpus = {"a": "å" * 1500, "b": "en båt", "c": "et hus", "d": "d"}
    retrieval_set = RetrievalSet("nano/sett", "nb", dict.fromkeys(qrels, "hva?"), corpus, qrels)
    runs: dict[str, Run] = {
        "model": {"found": {"d": 3.0, "a": 2.0, "b": 1.0}, "missed": {"d": 1.0}},
        "bm25": {"found": {"b": 1.0}, "missed": {}, "textless": {}},
    }
    found, missed, textless = written(tmp_path, retrieval_set, runs)
    assert (found["query_id"], found["query"], found["language"]) == ("found", "hva?", "nb")
    assert (found["model_rank"], found["bm25_rank"], missed["model_rank"], textless["bm25_rank"]) == (2, 1, None, None)
    assert (found["relevant_id"], found["relevant"], found["top_id"], found["top"]) == ("a", "å" * 1000, "d", "d")
    assert (missed["relevant_id"], missed["relevant"], missed["top_id"]) == ("c", "et hus", "d")
    assert (textless["relevant_id"], textless["relevant"], textless["top_id"], textless["top"]) == ("gone", None, None, None)
    assert found["relevant_terms"] is None and found["top_terms"] is None
    schema = pq.read_schema(tmp_path / "nano__sett.parquet")
    assert str(schema.field("model_ndcg@10").type) == "double" and str(schema.field("model_rank").type) == "int32"
    assert (
        str(schema.field("top_terms").type).replace("element: ", "item: ")
        == "list<item: struct<term: string, query: float, document: float>>"
    )
    assert schema.metadata[b"set"] == b"nano/sett"
    assert (tmp_path / "nano__sett.bm25.trec").read_text() == "found Q0 b 1 1 bm25\n"


def test_a_set_of_which_only_bm25_is_known_has_a_table_too(binary_set: RetrievalSet, tmp_path: Path) -> None:
    row = written(tmp_path, binary_set, {"bm25": bm25.retrieve(binary_set)})[0]
    assert row["relevant"] and row["top_id"] is None and "model_rank" not in row
    assert written(tmp_path, binary_set, {})[0]["query_id"] == "q0"


@pytest.mark.parametrize("architecture", ["splade", "inference_free", "csr"])
def test_shared_terms_are_those_that_explain_finds(
    architecture: str, binary_set: RetrievalSet, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    model = request.getfixturevalue(architecture)
    result = evaluate(model, binary_set)
    write_queries(tmp_path, binary_set, {"model": result.run}, result.encoded, dimension_names(model))
    for row in pq.read_table(tmp_path / "made-up.parquet").to_pylist()[:5]:
        for kind in ("relevant", "top"):
            expected = matches(represent(model, row["query"], "query"), represent(model, binary_set.corpus[row[f"{kind}_id"]], "document"))
            found = row[f"{kind}_terms"]
            assert [each["query"] * each["document"] for each in found] == pytest.approx([m.product for m in expected[:20]], rel=1e-4)
            assert {each["term"] for each in found} <= {m.query.name for m in expected}
            if len(expected) <= 20:
                assert (
                    sum(each["query"] * each["document"] for each in found)
                    == pytest.approx(result.run[row["query_id"]].get(row[f"{kind}_id"], 0.0), rel=1e-4)
                    or row[f"{kind}_id"] not in result.run[row["query_id"]]
                )


def test_of_a_document_in_windows_the_best_one_is_explained(tmp_path: Path) -> None:
    queries = csr_array(np.array([[1.0, 2.0, 0.0]], dtype=np.float32))
    windows = csr_array(np.array([[5.0, 0.0, 1.0], [1.0, 3.0, 9.0], [0.0, 0.0, 4.0]], dtype=np.float32))
    encoded = Encoded(queries, windows, np.array([0, 2, 3]))
    retrieval_set = RetrievalSet("long", None, {"q": "?"}, {"a": "a", "b": "b"}, {"q": {"a": 1.0}})
    [row] = written(tmp_path, retrieval_set, {"model": {"q": {"a": 7.0, "b": 0.0}}}, encoded)
    assert row["relevant_terms"] == [
        {"term": "t1", "query": 2.0, "document": 3.0},
        {"term": "t0", "query": 1.0, "document": 1.0},
    ]
    assert row["top_id"] == "b" and row["top_terms"] == []


def test_equal_scores_keep_our_order_in_single_precision_and_ids_are_one_word(tmp_path: Path) -> None:
    scores = {"b x": 0.0, "a": 0.0, "c": 1.0, "d": 1.0 + 1e-12, "e": -3.0, "f": -3.0, "g": -1e-45, "h": 0.1}
    retrieval_set = RetrievalSet("s", None, {"q 1": "?"}, dict.fromkeys(scores, "t"), {"q 1": {"a": 1.0}})
    written(tmp_path, retrieval_set, {"model": {"q 1": scores}})
    lines = [line.split() for line in (tmp_path / "s.model.trec").read_text().splitlines()]
    assert [line[:4] for line in lines] == [["q%201", "Q0", d.replace(" ", "%20"), str(n)] for n, d in enumerate(rank(scores), start=1)]
    values = [np.float32(line[4]) for line in lines]
    assert all(after < before for before, after in pairwise(values))
    assert values == pytest.approx(sorted(scores.values(), reverse=True), abs=1e-6) and np.float32(0.1) in values
