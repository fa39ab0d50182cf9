import math
import random

import pytest
from sentence_transformers.sentence_transformer.evaluation import InformationRetrievalEvaluator

from stages.retrieval.scores import rank, score
from tests.refused import refused


def random_runs(seed: int, ties: bool) -> tuple[dict[str, dict[str, float]], dict[str, dict[str, float]]]:
    drawn = random.Random(seed)
    documents = [f"d{index}" for index in range(300)]
    run, qrels = {}, {}
    for index in range(40):
        retrieved = drawn.sample(documents, drawn.randint(0, 100))
        run[f"q{index}"] = {d: float(drawn.randint(0, 5)) if ties else drawn.random() for d in retrieved}
        qrels[f"q{index}"] = dict.fromkeys(drawn.sample(documents, drawn.randint(1, 30)), 1.0)
    return run, qrels


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_agrees_with_sentence_transformers_on_binary_grades(seed: int, ties: bool) -> None:
    run, qrels = random_runs(seed, ties)
    relevant = {query: set(documents) for query, documents in qrels.items()}
    peer = InformationRetrievalEvaluator(
        queries=dict.fromkeys(qrels, "text"),
        corpus={f"d{index}": "text" for index in range(300)},
        relevant_docs=relevant,
        precision_recall_at_k=[100],
    )
    hits = [[{"corpus_id": d, "score": s} for d, s in run[query].items()] for query in peer.queries_ids]
    expected = peer.compute_metrics(hits)
    assert score(run, qrels) == pytest.approx(
        {"ndcg@10": expected["ndcg@k"][10], "mrr@10": expected["mrr@k"][10], "recall@100": expected["recall@k"][100]}, abs=1e-6
    )


def test_graded_relevance_by_hand() -> None:
    qrels = {"q": {"exact": 1.0, "substitute": 0.7, "complement": 0.5, "unfound": 0.5, "irrelevant": 0.0}}
    run = {"q": {"substitute": 3.0, "irrelevant": 2.5, "exact": 2.0, "complement": 1.0}}
    gained = 0.7 + 1.0 / math.log2(4) + 0.5 / math.log2(5)
    ideal = 1.0 + 0.7 / math.log2(3) + 0.5 / math.log2(4) + 0.5 / math.log2(5)
    assert score(run, qrels) == pytest.approx({"ndcg@10": gained / ideal, "mrr@10": 1.0, "recall@100": 0.75}, abs=1e-9)


def test_ideal_ranking_counts_relevant_documents_that_were_not_retrieved() -> None:
    found = score({"q": {"a": 1.0}}, {"q": {"a": 1.0, "b": 1.0}})
    assert found["ndcg@10"] == pytest.approx(1 / (1 + 1 / math.log2(3)), abs=1e-9)


def test_reciprocal_rank_beyond_ten_counts_nothing() -> None:
    run = {"q": {f"d{place:02}": 100.0 - place for place in range(20)}}
    assert score(run, {"q": {"d09": 1.0}})["mrr@10"] == pytest.approx(0.1)
    assert score(run, {"q": {"d10": 1.0}})["mrr@10"] == 0.0
    assert score(run, {"q": {"d10": 1.0}})["recall@100"] == 1.0


def test_query_without_result_counts_zero() -> None:
    qrels = {"found": {"a": 1.0}, "empty": {"a": 1.0}, "absent": {"a": 1.0}}
    assert score({"found": {"a": 1.0}, "empty": {}}, qrels)["ndcg@10"] == pytest.approx(1 / 3)


def test_query_without_relevant_document_is_not_averaged() -> None:
    qrels = {"judged": {"a": 1.0}, "irrelevant": {"a": 0.0}, "unjudged": {}}
    assert score({"judged": {"a": 1.0}, "irrelevant": {"a": 1.0}}, qrels)["ndcg@10"] == 1.0


def test_ties_go_by_document_id_whatever_the_order_of_the_run() -> None:
    assert rank({"b": 1.0, "c": 2.0, "a": 1.0}) == ["c", "a", "b"]
    forward = {"q": {"a": 1.0, "b": 1.0}}
    backward = {"q": {"b": 1.0, "a": 1.0}}
    assert score(forward, {"q": {"a": 1.0}})["mrr@10"] == score(backward, {"q": {"a": 1.0}})["mrr@10"] == 1.0


def test_scores_that_differ_less_than_single_precision_keep_their_order() -> None:
    run = {"q": {"worse": 1.0, "better": 1.0 + 1e-12}}
    assert score(run, {"q": {"better": 1.0}})["mrr@10"] == 1.0


def test_a_diverged_model_is_a_one_line_error() -> None:
    with refused("evaluation", "NaN", "training.learning_rate"):
        score({"q": {"a": math.nan}}, {"q": {"a": 1.0}})
