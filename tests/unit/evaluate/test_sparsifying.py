from dataclasses import replace

import pytest
from sentence_transformers import SentenceTransformer, SparseEncoder
from sentence_transformers.sentence_transformer.evaluation import InformationRetrievalEvaluator
from sentence_transformers.sparse_encoder.modules import SparseAutoEncoder

from stages.encoders.active_dims import BaseVectors, autoencoder_of
from stages.evaluate.sparsifying import ndcg_at, sparsifying_cost
from stages.retrieval.scores import Run, score
from stages.retrieval.scoring import encode_set, evaluate
from stages.retrieval.sets import RetrievalSet
from stages.retrieval.treatment import UNTREATED, Treatment


def cost_of(
    csr: SparseEncoder, some: RetrievalSet, active_dims: list[int], treatment: Treatment = UNTREATED
) -> tuple[dict[str, float], Run | None]:
    vectors = BaseVectors.of(csr, some, treatment=treatment)
    return sparsifying_cost(csr, vectors, vectors.encoded(csr), active_dims)


def test_the_scores_equal_those_of_the_evaluators(csr: SparseEncoder, binary_set: RetrievalSet) -> None:
    cost, run = cost_of(csr, binary_set, [2, 8, 64])
    assert cost[ndcg_at(8)] == pytest.approx(evaluate(csr, binary_set).metrics["ndcg@10"])
    base = SentenceTransformer(modules=[*csr][:-1], similarity_fn_name="dot")
    relevant = {query: set(documents) for query, documents in binary_set.qrels.items()}
    stock = InformationRetrievalEvaluator(dict(binary_set.queries), dict(binary_set.corpus), relevant)(base)
    assert run is not None and score(run, binary_set.qrels)["ndcg@10"] == pytest.approx(stock["dot_ndcg@10"])
    assert cost[ndcg_at(2)] != cost[ndcg_at(8)]


def test_latents_that_no_document_uses_are_dead(csr: SparseEncoder, binary_set: RetrievalSet) -> None:
    used = csr.encode_document(list(binary_set.corpus.values())).to_dense().gt(0).any(dim=0)
    assert cost_of(csr, binary_set, [])[0]["dead_latents"] == pytest.approx(1 - used.float().mean().item())


def test_only_a_csr_model_has_an_autoencoder(csr: SparseEncoder, splade: SparseEncoder) -> None:
    assert isinstance(autoencoder_of(csr), SparseAutoEncoder)
    assert autoencoder_of(splade) is None


def test_a_model_without_an_autoencoder_has_no_cost(splade: SparseEncoder, binary_set: RetrievalSet) -> None:
    assert sparsifying_cost(splade, None, encode_set(splade, binary_set), [8]) == ({}, None)


def test_the_bases_scores_are_of_texts_with_the_models_prompts(csr: SparseEncoder, binary_set: RetrievalSet) -> None:
    plain = cost_of(csr, binary_set, [8])[1]
    csr.prompts.update(query="fjellhus havtur: ", document="bytur skogvann: ")
    try:
        cost, run = cost_of(csr, binary_set, [8])
        assert cost[ndcg_at(8)] == pytest.approx(evaluate(csr, binary_set).metrics["ndcg@10"])
        assert run != plain
    finally:
        csr.prompts.update(query="", document="")


@pytest.mark.parametrize("long_documents", ["cut", "max_vector", "max_score"])
def test_long_documents_are_encoded_like_the_models(csr: SparseEncoder, binary_set: RetrievalSet, long_documents: str) -> None:
    texts = list(binary_set.corpus.values())
    joined = {key: " ".join([text, *texts[:place][-3:]]) for place, (key, text) in enumerate(binary_set.corpus.items())}
    longer = replace(binary_set, corpus=joined)
    treatment = Treatment(long_documents, 12, 2)
    cost, run = cost_of(csr, longer, [4, 8], treatment=treatment)
    assert cost[ndcg_at(8)] == pytest.approx(evaluate(csr, longer, treatment=treatment).metrics["ndcg@10"])
    assert (run == cost_of(csr, longer, [])[1]) == (long_documents == "cut")


def test_a_query_that_is_a_document_is_left_out_of_its_own_results(csr: SparseEncoder, binary_set: RetrievalSet) -> None:
    qrels = {query: {f"q{place - 1}": 1.0} for place, query in enumerate(binary_set.queries) if place}
    queries = {query: binary_set.queries[query] for query in qrels}
    whole = replace(binary_set, corpus=binary_set.corpus | binary_set.queries, queries=queries, qrels=qrels)
    some = replace(whole, own=frozenset(queries))
    cost, run = cost_of(csr, some, [8])
    assert cost[ndcg_at(8)] == pytest.approx(evaluate(csr, some).metrics["ndcg@10"])
    kept = cost_of(csr, whole, [8])[1]
    assert run is not None and kept is not None
    assert all(query not in run[query] for query in queries) and any(query in kept[query] for query in queries)
