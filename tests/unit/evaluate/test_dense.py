from dataclasses import replace

import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.evaluation import InformationRetrievalEvaluator

from stages.evaluate import dense as stage
from stages.evaluate.dense import retrieve
from stages.retrieval.scores import score
from stages.retrieval.sets import RetrievalSet
from tests.refused import refused


@pytest.mark.parametrize("chunk", [7, 4096])
@pytest.mark.parametrize("similarity", ["cosine", "dot", "euclidean"])
def test_the_score_is_that_of_the_evaluator_whatever_the_chunks(
    dense: SentenceTransformer, binary_set: RetrievalSet, similarity: str, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage, "CHUNK", chunk)
    model = SentenceTransformer(modules=[*dense], prompts={"query": "fjellhus: ", "document": "bytur: "}, similarity_fn_name=similarity)
    relevant = {query: set(documents) for query, documents in binary_set.qrels.items()}
    judged = (dict(binary_set.queries), dict(binary_set.corpus), relevant)
    stock = InformationRetrievalEvaluator(*judged, precision_recall_at_k=[100])(model)
    run = retrieve(model, binary_set)
    assert all(len(documents) == 100 for documents in run.values())
    ours = score(run, binary_set.qrels)
    assert [ours["ndcg@10"], ours["recall@100"]] == pytest.approx([stock[f"{similarity}_ndcg@10"], stock[f"{similarity}_recall@100"]])


def test_a_query_that_is_a_document_is_left_out_of_its_own_results(dense: SentenceTransformer, binary_set: RetrievalSet) -> None:
    own = replace(binary_set, corpus=binary_set.corpus | binary_set.queries, own=frozenset(binary_set.queries))
    run = retrieve(dense, own)
    assert all(query not in documents and len(documents) == 100 for query, documents in run.items())


def test_one_query_and_one_document(dense: SentenceTransformer) -> None:
    assert [*retrieve(dense, RetrievalSet("one", None, {"q": "fjellhus"}, {"d": "havtur"}, {"q": {"d": 1.0}}))["q"]] == ["d"]


def test_similarities_that_are_not_numbers_are_refused(
    dense: SentenceTransformer, binary_set: RetrievalSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dense, "encode_query", lambda texts, **_: torch.full((len(texts), 16), float("nan")))
    with refused("evaluation.dense", "NaN"):
        retrieve(dense, binary_set)
