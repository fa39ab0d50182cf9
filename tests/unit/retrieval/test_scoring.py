from dataclasses import replace

import pytest
import torch
from sentence_transformers import SparseEncoder
from sentence_transformers.sparse_encoder.evaluation import SparseInformationRetrievalEvaluator

from stages.retrieval import vectors
from stages.retrieval.scoring import evaluate
from stages.retrieval.sets import RetrievalSet
from stages.retrieval.treatment import Treatment


def arguments(binary_set: RetrievalSet) -> dict:
    relevant = {query: set(documents) for query, documents in binary_set.qrels.items()}
    return {"queries": binary_set.queries, "corpus": binary_set.corpus, "relevant_docs": relevant, "write_csv": False}


@pytest.mark.parametrize("architecture", ["splade", "inference_free", "csr"])
def test_scores_and_sparsity_equal_those_of_the_stock_sparse_evaluator(
    architecture: str, binary_set: RetrievalSet, request: pytest.FixtureRequest
) -> None:
    model = request.getfixturevalue(architecture)
    stock = SparseInformationRetrievalEvaluator(**arguments(binary_set), precision_recall_at_k=[100])(model)
    metrics = evaluate(model, binary_set, batch_size=8).metrics
    for ours, theirs in {
        "ndcg@10": "dot_ndcg@10",
        "mrr@10": "dot_mrr@10",
        "recall@100": "dot_recall@100",
        "query_active_dims": "query_active_dims",
        "corpus_active_dims": "corpus_active_dims",
        "flops": "avg_flops",
    }.items():
        assert metrics[ours] == pytest.approx(stock[theirs], abs=1e-6), ours


def test_inference_free_queries_take_the_query_route(inference_free: SparseEncoder, binary_set: RetrievalSet) -> None:
    result = evaluate(inference_free, binary_set)
    queries = inference_free.encode_query(list(binary_set.queries.values()))
    documents = inference_free.encode_document(list(binary_set.corpus.values()))
    scores = inference_free.similarity(queries, documents)
    wrong = inference_free.similarity(inference_free.encode(list(binary_set.queries.values())), documents)
    best = dict(zip(binary_set.corpus, scores[0].tolist(), strict=True))
    for document, value in result.run["q0"].items():
        assert value == pytest.approx(best[document], abs=1e-4)
    assert not torch.allclose(scores, wrong, atol=1e-2)
    assert result.metrics["query_active_dims"] <= 4  # a query's own words and nothing else


def test_run_holds_the_hundred_best_documents(splade: SparseEncoder, binary_set: RetrievalSet) -> None:
    result = evaluate(splade, binary_set)
    scores = splade.similarity(splade.encode_query([binary_set.queries["q3"]]), splade.encode_document(list(binary_set.corpus.values())))[0]
    best = {list(binary_set.corpus)[index] for index in scores.topk(100).indices.tolist()}
    assert set(result.run["q3"]) == best
    assert set(result.run) == set(binary_set.queries)


def test_two_evaluations_give_the_same_bytes(splade: SparseEncoder, binary_set: RetrievalSet) -> None:
    assert repr(evaluate(splade, binary_set)) == repr(evaluate(splade, binary_set))


def test_corpus_of_several_chunks_scores_as_in_one(csr: SparseEncoder, binary_set: RetrievalSet, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = evaluate(csr, binary_set).run
    monkeypatch.setattr(vectors, "ENTRIES", 17)
    assert evaluate(csr, binary_set).run == whole


def test_pruned_vectors_are_those_of_stock_max_active_dims_and_the_metrics_say_so(splade: SparseEncoder, binary_set: RetrievalSet) -> None:
    unpruned = evaluate(splade, binary_set)
    found = evaluate(splade, binary_set, treatment=Treatment(max_document_dims=5, max_query_dims=2))
    documents = splade.encode_document(list(binary_set.corpus.values()), max_active_dims=5, convert_to_sparse_tensor=False)
    assert found.encoded.documents.toarray() == pytest.approx(documents.numpy(), abs=1e-5)
    assert found.metrics["query_active_dims"] <= 2 and found.metrics["corpus_active_dims"] <= 5
    assert (found.metrics["max_document_dims"], found.metrics["max_query_dims"]) == (5, 2)
    assert found.metrics["unpruned_ndcg@10"] == unpruned.metrics["ndcg@10"] and found.unpruned_run == unpruned.run
    assert not unpruned.metrics.keys() & {"max_document_dims", "max_query_dims", "unpruned_ndcg@10"}


def test_evaluating_leaves_the_models_card_unchanged(splade: SparseEncoder, binary_set: RetrievalSet) -> None:
    before = dict(splade.model_card_data.eval_results_dict)
    evaluate(splade, binary_set)
    assert splade.model_card_data.eval_results_dict == before


def test_text_of_a_megabyte_is_cut_by_the_tokenizer(splade: SparseEncoder, binary_set: RetrievalSet) -> None:
    corpus = {"long": "havtur " * 150_000, "cut": "havtur " * 100}
    small = replace(binary_set, corpus=corpus, queries={"q": "havtur"}, qrels={"q": {"long": 1.0}})
    scores = evaluate(splade, small).run["q"]
    assert scores["long"] == pytest.approx(scores["cut"], rel=1e-6)


@pytest.mark.parametrize("architecture", ["splade", "csr"])
def test_a_query_that_is_a_document_is_left_out_of_its_own_results(
    architecture: str, binary_set: RetrievalSet, request: pytest.FixtureRequest
) -> None:
    """The scores equal those of the same set without that document for its query."""
    model = request.getfixturevalue(architecture)
    corpus = binary_set.corpus | binary_set.queries  # ids q0 … are now documents too, each relevant for the next
    qrels = {query: {f"q{place - 1}": 1.0} for place, query in enumerate(binary_set.queries) if place}
    whole = replace(binary_set, corpus=corpus, queries={query: binary_set.queries[query] for query in qrels}, qrels=qrels)
    found = evaluate(model, replace(whole, own=frozenset(whole.queries)))
    assert all(query not in documents and len(documents) == 100 for query, documents in found.run.items())
    one_by_one = [
        evaluate(model, replace(whole, queries={query: text}, corpus={key: text for key, text in corpus.items() if key != query}))
        for query, text in whole.queries.items()
    ]
    assert {query: documents for each in one_by_one for query, documents in each.run.items()} == {
        query: pytest.approx(documents, abs=1e-5) for query, documents in found.run.items()
    }
    assert any(query in documents for query, documents in evaluate(model, whole).run.items())
