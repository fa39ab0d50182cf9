from pathlib import Path

from sentence_transformers import SentenceTransformer, SparseEncoder

from stages.config.schema import BM25, Prompts
from stages.config.settings import DenseSettings
from stages.evaluate import dense as dense_stage
from stages.evaluate.baselines import Baselines, load_dense, ndcg_by_system
from stages.retrieval import bm25
from stages.retrieval.scores import score
from stages.retrieval.scoring import evaluate
from stages.retrieval.sets import RetrievalSet
from tests.refused import refused

ALWAYS = ["model", "bm25", "bm25_stemmed"]
HYBRIDS = ["hybrid_sparse_dense", "hybrid_bm25_dense", "hybrid_sparse_bm25"]


def test_without_a_dense_model_there_are_bm25_and_one_hybrid(splade: SparseEncoder, binary_set: RetrievalSet) -> None:
    model = evaluate(splade, binary_set).run
    runs = Baselines(BM25(k1=0.9, b=0.4)).runs(binary_set, model)
    assert [*runs] == [*ALWAYS, "hybrid_sparse_bm25"] and runs["model"] is model
    assert runs["bm25"] == bm25.retrieve(binary_set)
    assert runs["bm25_stemmed"] == bm25.retrieve_stemmed(binary_set, k1=0.9, b=0.4) != bm25.retrieve_stemmed(binary_set)
    stemmed = score(runs["bm25_stemmed"], binary_set.qrels)["ndcg@10"]
    found = ndcg_by_system(runs, binary_set)
    assert [*found] == ["bm25_stemmed_ndcg@10", "hybrid_sparse_bm25_ndcg@10"] and found["bm25_stemmed_ndcg@10"] == stemmed


def test_the_dense_base_of_a_csr_model_is_the_dense_system_unless_another_is_named(
    dense: SentenceTransformer, binary_set: RetrievalSet
) -> None:
    model, base = bm25.retrieve(binary_set), {query: {"d0": 1.0} for query in binary_set.queries}
    alone = Baselines().runs(binary_set, model, base)
    assert [*alone] == [*ALWAYS, "dense", *HYBRIDS] and alone["dense"] is base
    both = Baselines(dense=dense).runs(binary_set, model, base)
    assert [*both] == [*ALWAYS, "dense", "base", *HYBRIDS] and both["base"] is base
    assert both["dense"] == dense_stage.retrieve(dense, binary_set)


def test_the_prompts_of_the_entry_replace_those_of_the_files(dense: SentenceTransformer, tmp_path: Path, no_network: None) -> None:
    dense.save_pretrained(str(tmp_path / "model"), create_model_card=False)
    given = DenseSettings(trust_remote_code=False, prompts=Prompts(query="query: "))
    assert load_dense(tmp_path / "model", given, "cpu").prompts == {"query": "query: ", "document": ""}
    SentenceTransformer(modules=[*dense], prompts={"query": "q: ", "document": "d: "}).save_pretrained(
        str(tmp_path / "own"), create_model_card=False
    )
    assert load_dense(tmp_path / "own", given, "cpu").prompts == {"query": "query: ", "document": "d: "}


def test_a_dense_model_runs_code_of_its_own_only_if_allowed(dense: SentenceTransformer, tmp_path: Path) -> None:
    dense.save_pretrained(str(tmp_path), create_model_card=False)
    config = tmp_path / "config.json"
    config.write_text(config.read_text().replace('"model_type": "bert"', '"model_type": "own", "auto_map": {"AutoModel": "own.Model"}'))
    with refused("evaluation.dense", "Python code", "trust_remote_code"):
        load_dense(tmp_path, DenseSettings(trust_remote_code=False, prompts=Prompts()), "cpu")
