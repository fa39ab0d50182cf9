"""Reciprocal rank fusion, by hand and against sentence-transformers' evaluator."""

import random

import pytest
from sentence_transformers.sparse_encoder.evaluation import ReciprocalRankFusionEvaluator

from stages.evaluate.fusion import fuse, hybrids
from stages.retrieval.scores import rank, score


def test_the_ranks_reciprocals_are_summed_and_ties_go_by_id() -> None:
    fused = fuse({"q": {"a": 9.0, "b": 5.0, "c": 5.0}}, {"q": {"c": -0.2, "b": -0.1}})
    assert fused == {"q": pytest.approx({"b": 1 / 62 + 1 / 61, "c": 1 / 63 + 1 / 62, "a": 1 / 61})}
    assert list(fused["q"]) == ["b", "c", "a"]
    assert list(fuse({"q": {"y": 1.0}}, {"q": {"x": 1.0}})["q"]) == ["x", "y"]


def test_a_document_with_score_0_has_no_rank() -> None:
    assert fuse({"q": {"a": 2.0, "b": 0.0}}, {"q": {"c": 1.0, "b": 0.0}}) == {"q": {"a": 1 / 61, "c": 1 / 61}}


def test_a_query_that_one_system_lacks_keeps_the_others_documents() -> None:
    assert fuse({"q": {}, "r": {"a": 1.0}}, {"q": {"b": 1.0}}) == {"q": {"b": 1 / 61}, "r": {"a": 1 / 61}}


def test_no_more_than_100_documents_are_kept() -> None:
    runs = [{"q": {f"{name}{index:03}": 1.0 for index in range(100)}} for name in "ab"]
    assert list(fuse(*runs)["q"]) == [f"{name}{index:03}" for index in range(50) for name in "ab"]


def test_hybrids_are_those_of_the_systems_there_are() -> None:
    run = {"q": {"a": 1.0}}
    assert [*hybrids({"model": run, "bm25": run, "bm25_stemmed": run})] == ["hybrid_sparse_bm25"]
    assert [*hybrids({"model": run, "bm25_stemmed": run, "dense": run})] == [
        "hybrid_sparse_dense", "hybrid_bm25_dense", "hybrid_sparse_bm25"
    ]  # fmt: skip


def test_the_score_is_that_of_sentence_transformers_evaluator() -> None:
    drawn = random.Random(2)
    runs = [{f"q{n}": {f"d{i:02}": drawn.random() for i in drawn.sample(range(60), 30)} for n in range(20)} for _ in range(2)]
    qrels = {query: dict.fromkeys(drawn.sample(sorted(runs[0][query]), 3), 1.0) for query in runs[0]}
    samples = [
        [{"query_id": query, "query": query, "positive": [*qrels[query]], "documents": rank(run[query])} for query in qrels] for run in runs
    ]
    stock = ReciprocalRankFusionEvaluator(*samples, write_csv=False)()
    ours = score(fuse(*runs), qrels)
    assert [ours["ndcg@10"], ours["mrr@10"]] == pytest.approx([stock["ndcg@10"], stock["mrr@10"]])
