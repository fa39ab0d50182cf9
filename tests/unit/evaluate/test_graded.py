"""Recall of graded groups, and condensed rankings, next to trec_eval's own."""

from random import Random

import pytest
import pytrec_eval

from stages.evaluate.graded import condense, graded_scores
from stages.retrieval.scores import Run
from stages.retrieval.sets import RetrievalSet, retrieval_set

QRELS = {"q": {"e": 1.0, "s": 0.7, "c": 0.5, "i": 0.0}, "r": {"c": 0.5}}
RECALLS = {"exact": 1.0, "exact_substitute": 2 / 3}


def set_of(qrels: dict[str, dict[str, float]], recalls: dict[str, float]) -> RetrievalSet:
    documents = {document: "text" for grades in qrels.values() for document in grades}
    return retrieval_set("shop", None, dict.fromkeys(qrels, "query"), documents, qrels, "here", recalls=recalls)


def run_of(*documents: str) -> Run:
    return {"q": {document: float(-place) for place, document in enumerate(documents)}, "r": {}}


def test_recall_counts_a_groups_documents_over_the_queries_that_have_one() -> None:
    unjudged = [f"x{number}" for number in range(9)]
    scores = graded_scores({"model": run_of("e", *unjudged, "s")}, set_of(QRELS, RECALLS))
    assert scores == {
        "ndcg@10_condensed": pytest.approx((1 + 0.7 / 1.584963) / (1 + 0.7 / 1.584963 + 0.5 / 2) / 2, abs=1e-6),
        "recall_exact@10": 1.0,
        "recall_exact@10_condensed": 1.0,
        "recall_exact@100": 1.0,
        "recall_exact_substitute@10": 0.5,
        "recall_exact_substitute@10_condensed": 1.0,
        "recall_exact_substitute@100": 1.0,
    }


def test_each_system_but_the_model_has_its_name_before_the_metric() -> None:
    scores = graded_scores({"model": run_of("e"), "bm25": run_of("s")}, set_of(QRELS, {"exact": 1.0}))
    assert (scores["recall_exact@10"], scores["bm25_recall_exact@10"]) == (1.0, 0.0)
    assert scores["bm25_ndcg@10_condensed"] < scores["ndcg@10_condensed"]


def test_a_set_without_grades_has_no_such_scores() -> None:
    plain = set_of({"q": {"e": 1.0}}, {})
    assert plain.judged == {} and graded_scores({"model": run_of("e")}, plain) == {}


def test_a_set_with_grades_of_0_has_the_condensed_score_alone() -> None:
    assert graded_scores({"model": run_of("i", "e")}, set_of({"q": {"e": 1.0, "i": 0.0}}, {})).keys() == {"ndcg@10_condensed"}


def test_a_condensed_ranking_is_trec_evals_with_judged_documents_only() -> None:
    rng = Random(7)
    names = [f"d{number:03}" for number in range(200)]
    qrels = {f"q{query}": {name: rng.choice((0.0, 0.5, 0.7, 1.0)) for name in rng.sample(names, 30)} for query in range(20)}
    run = {query: {name: rng.random() for name in rng.sample(names, 100)} for query in qrels}
    tens = {query: {name: round(10 * grade) for name, grade in grades.items()} for query, grades in qrels.items()}
    theirs = pytrec_eval.RelevanceEvaluator(tens, {"ndcg_cut.10"}, judged_docs_only_flag=True).evaluate(run)
    mean = sum(values["ndcg_cut_10"] for values in theirs.values()) / len(theirs)
    assert graded_scores({"model": run}, set_of(qrels, {}))["ndcg@10_condensed"] == pytest.approx(mean, abs=1e-9)


def test_a_query_without_results_or_judgements_stays_empty() -> None:
    assert condense({"q": {"e": 1.0, "x": 2.0}, "r": {}, "s": {"e": 1.0}}, {"q": ["e", "i"]}) == {"q": {"e": 1.0}, "r": {}, "s": {}}
