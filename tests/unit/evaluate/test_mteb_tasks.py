"""MTEB tasks from local files, without network."""

import json
import random
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import datasets
import mteb
import numpy as np
import pyarrow.parquet as pq
import pytest
from mteb.models import SearchEncoderWrapper
from mteb.models.model_implementations.bm25 import BM25Tokenizer
from sentence_transformers import SparseEncoder

from stages.download.benchmark import lay_out, part_files
from stages.encoders.active_dims import BaseVectors
from stages.evaluate.curves import CURVES
from stages.evaluate.mteb_tasks import RecordingEncoder, evaluate_mteb
from stages.evaluate.search_cost import search_cost
from stages.evaluate.sparsifying import sparsifying_cost
from stages.retrieval import bm25
from stages.retrieval.mteb import benchmark_tasks, expand, get_task, language_of, load_task, own_cache, required_datasets, task_texts
from stages.retrieval.scores import score
from stages.retrieval.scoring import encode_set, evaluate, sparsity
from stages.retrieval.sets import RetrievalSet, load_nanobeir
from stages.retrieval.vectors import Encoded
from tests.refused import refused
from tests.unit.conftest import write

pytestmark = pytest.mark.usefixtures("no_network")


def encoded(model: SparseEncoder, monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """The texts that ``model`` will have encoded, by route."""
    texts: dict[str, list[str]] = {"encode_query": [], "encode_document": []}
    for route, stock in [(route, getattr(model, route)) for route in texts]:

        def encode(batch: list[str], *args: Any, route: str = route, stock: Any = stock, **settings: Any) -> Any:
            texts[route] += batch
            return stock(batch, *args, **settings)

        monkeypatch.setattr(model, route, encode)
    return texts


@pytest.mark.parametrize("architecture", ["splade", "inference_free", "csr"])
def test_mtebs_score_is_our_score_on_the_same_data(
    architecture: str, swedn: Path, binary_set: RetrievalSet, request: pytest.FixtureRequest
) -> None:
    model = request.getfixturevalue(architecture)
    [result] = evaluate_mteb(model, "SwednRetrieval", swedn)
    ours = evaluate(model, binary_set).metrics
    assert result.name == "SwednRetrieval"
    assert result.metrics["ndcg@10"] == round(ours["ndcg@10"], 5)  # mteb rounds these two
    assert result.metrics["recall@100"] == round(ours["recall@100"], 5)
    rest = ["mrr@10", "query_active_dims", "corpus_active_dims", "flops"]
    assert [result.metrics[key] for key in rest] == pytest.approx([ours[key] for key in rest], abs=1e-6)
    baseline = score(bm25.retrieve(binary_set), binary_set.qrels)["ndcg@10"]
    assert result.bm25_ndcg == pytest.approx(baseline, abs=1e-9)


def test_a_csr_models_sparsifying_cost_is_scored_on_a_task_too(csr: SparseEncoder, swedn: Path, binary_set: RetrievalSet) -> None:
    [result] = evaluate_mteb(csr, "SwednRetrieval", swedn, active_dims=[2, 8])
    vectors = BaseVectors.of(csr, binary_set)
    cost, run = sparsifying_cost(csr, vectors, vectors.encoded(csr), [2, 8])
    assert {key: result.metrics[key] for key in cost} == pytest.approx(cost)
    assert result.runs["dense"] == run


SWEDISH = {
    "d1": "Bilarna stod parkerade vid sjön, och båtarna låg vid bryggorna.",
    "d2": "Båten går från ön till fastlandet varje timme, men inte på söndagar.",
    "d3": "Kommunens bibliotek har öppet på söndagarna och lånar ut böcker.",
    "d4": "En bok om sjöfart och om skärgårdens öar; boken finns på biblioteket.",
    "d5": "Det regnar.",
}
QUESTIONS = {"q1": "när går båtarna från bryggan", "q2": "var finns böckerna om öarna", "q3": "parkera en bil vid sjön på söndag"}


def test_stemmed_bm25_gives_the_scores_of_mtebs_own_baseline(splade: SparseEncoder, swedn: Path, tmp_path: Path) -> None:
    write(swedn / "corpus/test-0.parquet", {"_id": [*SWEDISH], "title": [""] * len(SWEDISH), "text": [*SWEDISH.values()]})
    write(swedn / "queries/test-0.parquet", {"_id": [*QUESTIONS], "text": [*QUESTIONS.values()]})
    write(swedn / "qrels/test-0.parquet", {"query-id": [*QUESTIONS], "corpus-id": ["d2", "d4", "d1"], "score": [1, 1, 1]})
    [result] = evaluate_mteb(splade, "SwednRetrieval", swedn)
    model = mteb.get_model("mteb/baseline-bm25s")
    with own_cache():
        theirs = mteb.evaluate(
            model, load_task("SwednRetrieval", swedn, None), co2_tracker=False, cache=None, prediction_folder=tmp_path / "kept"
        )
    predicted = json.loads((tmp_path / "kept/SwednRetrieval_predictions.json").read_text())["default"]["test"]
    for query, documents in result.runs["bm25_stemmed"].items():
        assert documents == pytest.approx({document: score for document, score in predicted[query].items() if score > 0}, rel=1e-6)
    assert result.runs["bm25_stemmed"] != result.runs["bm25"]
    [scores] = theirs.task_results[0].scores["test"]
    assert round(result.metrics["bm25_stemmed_ndcg@10"], 5) == scores["ndcg_at_10"]


def test_the_control_of_csr_is_scored_on_a_task_too(csr: SparseEncoder, swedn: Path) -> None:
    [result] = evaluate_mteb(csr, "SwednRetrieval", swedn, active_dims=[2, 8], untrained=lambda: csr)
    for name in ("ndcg@10", "ndcg@10_at_2_dims", "ndcg@10_at_8_dims"):
        assert result.metrics[f"control_{name}"] == pytest.approx(result.metrics[name], abs=1e-4), "the same model"


@pytest.mark.parametrize(("language", "code"), [("nb", "nob"), ("nn", "nno"), ("sv", "swe"), ("en", "eng")])
def test_words_are_stemmed_and_dropped_as_by_mtebs_baseline(language: str, code: str) -> None:
    texts = ["Ho las bøkene, og båtane låg ved bryggja.", "Bilene og bilarna var parkert der", "The cars and the boats", *SWEDISH.values()]
    theirs = BM25Tokenizer(code).fit_transform(texts)
    words = {number: word for word, number in theirs.vocab.items()}
    assert bm25.tokenize(texts, language) == [[words[number] for number in each] for each in theirs.ids]


def test_the_models_run_is_mtebs(splade: SparseEncoder, swedn: Path, binary_set: RetrievalSet) -> None:
    [result] = evaluate_mteb(splade, "SwednRetrieval", swedn)
    assert score(result.runs["model"], binary_set.qrels)["ndcg@10"] == pytest.approx(result.metrics["ndcg@10"], abs=1e-5)
    assert all(len(documents) == 100 for documents in result.runs["model"].values())


@pytest.mark.parametrize(("task", "language"), [("NorQuadRetrieval", "nb"), ("DanFeverRetrieval", "da"), ("SwednRetrieval", "sv")])
def test_a_tasks_language_is_ours(task: str, language: str) -> None:
    assert language_of(get_task(task), "default") == language
    assert language_of(get_task("MultilingualNanoNQRetrieval"), "no") == "nb"
    assert language_of(get_task("MultilingualNanoNQRetrieval"), "de") is None


def dense(encoded: Encoded) -> list[np.ndarray]:
    return [encoded.queries.toarray(), encoded.documents.toarray(), encoded.starts]


@pytest.mark.parametrize("architecture", ["splade", "inference_free", "csr"])
def test_the_vectors_that_mteb_asked_for_are_those_of_our_sets_in_their_order(
    architecture: str, swedn: Path, binary_set: RetrievalSet, request: pytest.FixtureRequest
) -> None:
    """Not those of a document without text nor of a query without a relevant document, which our sets leave out."""
    model, corpus = request.getfixturevalue(architecture), {"empty": " "} | binary_set.corpus
    write(swedn / "corpus/test-0.parquet", {"_id": list(corpus), "text": list(corpus.values())})
    queries = {"unanswered": "fjellhus"} | binary_set.queries
    write(swedn / "queries/test-0.parquet", {"_id": list(queries), "text": list(queries.values())})
    [result] = evaluate_mteb(model, "SwednRetrieval", swedn)
    assert result.retrieval_set is not None and result.encoded is not None
    assert (result.retrieval_set.queries, result.retrieval_set.corpus) == (binary_set.queries, binary_set.corpus)
    ours = evaluate(model, binary_set)
    assert all(map(np.array_equal, dense(result.encoded), dense(ours.encoded)))
    assert (result.runs["model"], result.runs["bm25"]) == (ours.run, bm25.retrieve(binary_set))
    assert result.curves and {*result.curves} == {*CURVES}
    assert result.metrics["query_postings_mean"] == search_cost(ours.encoded)["query_postings_mean"]
    assert len(result.by_query["model"]) == len(binary_set.queries)  # mteb leaves out a query that is not judged


def test_a_corpus_that_mteb_encodes_in_chunks_is_put_together(splade: SparseEncoder, binary_set: RetrievalSet) -> None:
    encoder, task = RecordingEncoder(splade), mteb.get_task("SwednRetrieval")
    search = SearchEncoderWrapper(encoder, corpus_chunk_size=50)
    where: Any = {"task_metadata": task.metadata, "hf_split": "test", "hf_subset": "default", "encode_kwargs": {"show_progress_bar": False}}
    parts = (binary_set.queries, binary_set.corpus)
    queries, corpus = (datasets.Dataset.from_dict({"id": list(part), "text": list(part.values())}) for part in parts)
    search.index(corpus, **where)
    search.search(queries, top_k=10, **where)
    reverse = replace(binary_set, corpus=dict(reversed(binary_set.corpus.items())))
    numbers, encoded = encoder.take("default", "test", reverse)
    assert all(np.allclose(*pair, atol=1e-4) for pair in zip(dense(encoded), dense(encode_set(splade, reverse)), strict=True))
    assert numbers == pytest.approx(sparsity(encoded))


def test_queries_and_documents_go_by_their_own_routes(
    inference_free: SparseEncoder, swedn: Path, binary_set: RetrievalSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = encoded(inference_free, monkeypatch)
    evaluate_mteb(inference_free, "SwednRetrieval", swedn)
    assert seen["encode_query"] == list(binary_set.queries.values())
    assert seen["encode_document"] == list(binary_set.corpus.values())


@pytest.mark.parametrize(("task", "leaves_out"), [("ArguAna", True), ("SwednRetrieval", False)])
def test_a_query_that_is_a_document_is_left_out_where_mteb_does_so(
    splade: SparseEncoder, swedn: Path, binary_set: RetrievalSet, task: str, leaves_out: bool
) -> None:
    corpus = binary_set.corpus | binary_set.queries
    write(swedn / "corpus/test-0.parquet", {"_id": list(corpus), "text": list(corpus.values())})
    [result] = evaluate_mteb(splade, task, swedn)
    whole = replace(binary_set, corpus=corpus, own=frozenset(binary_set.queries) if leaves_out else frozenset())
    assert result.metrics["ndcg@10"] == pytest.approx(evaluate(splade, whole).metrics["ndcg@10"], abs=1e-5)
    assert result.bm25_ndcg == pytest.approx(score(bm25.retrieve(whole), whole.qrels)["ndcg@10"], abs=1e-9)


def test_task_with_a_loader_of_its_own_runs_from_its_native_rows(splade: SparseEncoder, tmp_path: Path) -> None:
    """NorQuadRetrieval makes its corpus from contexts and answers, and finds both relevant."""
    drawn = random.Random(5)
    words = ["fjellhus", "havtur", "skogvann", "bytur", "veivann", "snehus", "snetur"]
    contexts = [" ".join(drawn.choices(words, k=8)) for _ in range(12)]
    rows = {
        "question": [" ".join(drawn.choices(words, k=3)) for _ in contexts],
        "context": contexts,
        "answers": [{"text": [" ".join(context.split()[:2]) + f" {i}"], "answer_start": [0]} for i, context in enumerate(contexts)],
    }
    write(tmp_path / "norquad/data/test-00000-of-00001.parquet", rows)
    [result] = evaluate_mteb(splade, "NorQuadRetrieval", tmp_path / "norquad")
    assert 0 < result.metrics["ndcg@10"] <= 1
    assert 0 < result.bm25_ndcg <= 1
    assert result.metrics["recall@100"] == 1.0  # 24 documents


def by_role(pairs: list[tuple[Any, str]]) -> dict[str, list[str]]:
    return {role: sorted(text for each, text in pairs if each == role) for role in ("queries", "documents", "distractors")}


def test_the_texts_of_a_task_are_those_the_model_is_given_and_documents_also_without_their_title(
    splade: SparseEncoder, swedn: Path, binary_set: RetrievalSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = by_role(task_texts("SwednRetrieval", swedn))
    given = encoded(splade, monkeypatch)
    evaluate_mteb(splade, "SwednRetrieval", swedn)
    assert found["queries"] == sorted(given["encode_query"])
    relevant = {document for documents in binary_set.qrels.values() for document in documents}
    for role, chosen in (("documents", relevant), ("distractors", set(binary_set.corpus) - relevant)):
        whole = [binary_set.corpus[document] for document in chosen]
        assert set(whole) <= set(given["encode_document"])
        assert set(found[role]) == {*whole, *(text.partition(" ")[2] for text in whole)} - {""}


CLAIMS = {"claim": ["støttet", "afvist"], "evidence_extract": ["bevis", "modbevis"]}
LABELS = datasets.Features(
    {name: datasets.Value("string") for name in CLAIMS} | {"label": datasets.ClassLabel(names=["Refuted", "Supported"])}
)


@pytest.mark.parametrize(
    ("task", "rows", "split", "expected"),
    [
        (
            "NorQuadRetrieval",
            {"question": ["hva?"], "context": ["passasje"], "answers": [{"text": ["svar"], "answer_start": [0]}]},
            "test",
            {"queries": ["hva?"], "documents": ["passasje", "svar"], "distractors": []},
        ),
        (
            "SNLRetrieval",
            {"headline": ["Oslo", "Bodø"], "article": ["en by", "en til"]},
            "test",
            {"queries": ["Bodø", "Oslo"], "documents": ["en by", "en til"], "distractors": []},
        ),
        (
            "DanFeverRetrieval",
            datasets.Dataset.from_dict(CLAIMS | {"label": [1, 0]}, features=LABELS),
            "train",
            {"queries": ["afvist", "støttet"], "documents": ["bevis"], "distractors": ["modbevis"]},
        ),
        (
            "TV2Nordretrieval",
            {"summary": [f"kort {i}" for i in range(2048)], "text": [f"lang {i}" for i in range(2048)]},
            "test",
            {"queries": sorted(f"kort {i}" for i in range(2048)), "documents": sorted(f"lang {i}" for i in range(2048)), "distractors": []},
        ),
    ],
)
def test_tasks_that_make_their_sets_of_native_rows_give_their_texts(
    tmp_path: Path, task: str, rows: Any, split: str, expected: dict[str, list[str]]
) -> None:
    (tmp_path / "data").mkdir()
    path = tmp_path / "data" / f"{split}-00000-of-00001.parquet"
    if isinstance(rows, datasets.Dataset):
        rows.to_parquet(path)
    else:
        write(path, rows)
    if task == "SNLRetrieval":
        write(tmp_path / "data" / "train-00000-of-00001.parquet", {"headline": ["Alta"], "article": ["not evaluated"]})
    assert by_role(task_texts(task, tmp_path)) == expected


def test_a_task_with_too_few_rows_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "data/test-0.parquet", {"summary": ["kort"], "text": ["lang"]})
    with refused("TV2Nordretrieval", "2047"):
        task_texts("TV2Nordretrieval", tmp_path)


def test_query_without_a_relevant_document_counts_zero_for_the_model_and_for_bm25(
    splade: SparseEncoder, swedn: Path, binary_set: RetrievalSet
) -> None:
    [whole] = evaluate_mteb(splade, "SwednRetrieval", swedn)
    texts = list(binary_set.queries.values())
    more = {"_id": [*binary_set.queries, *(f"x{index}" for index in range(len(texts)))], "text": [*texts, *texts]}
    write(swedn / "queries/test-0.parquet", more)
    path = swedn / "qrels/test-0.parquet"
    rows = pq.read_table(path).to_pydict()
    for index in range(len(texts)):
        rows = {key: [*rows[key], value] for key, value in zip(rows, (f"x{index}", "d0", 0), strict=True)}
    write(path, rows)
    [half] = evaluate_mteb(splade, "SwednRetrieval", swedn)
    assert half.as_zero == len(texts) and half.by_query["model"].mean() == pytest.approx(half.metrics["ndcg@10"], abs=1e-5)
    assert half.metrics["ndcg@10"] == pytest.approx(whole.metrics["ndcg@10"] / 2, abs=1e-5)
    assert half.bm25_ndcg == pytest.approx(whole.bm25_ndcg / 2, abs=1e-9)


def test_another_version_at_the_same_path_is_scored_again(splade: SparseEncoder, swedn: Path, binary_set: RetrievalSet) -> None:
    """Hugging Face's cache identifies a folder with a README by its path alone."""
    usual = datasets.config.HF_DATASETS_CACHE
    [before] = evaluate_mteb(splade, "SwednRetrieval", swedn)
    some = list(binary_set.queries.items())[:5]
    write(swedn / "queries/test-0.parquet", {"_id": [q for q, _ in some], "text": [text for _, text in some]})
    pairs = [(q, d) for q, _ in some for d in binary_set.qrels[q]]
    qrels = {"query-id": [q for q, _ in pairs], "corpus-id": [d for _, d in pairs], "score": [1] * len(pairs)}
    write(swedn / "qrels/test-0.parquet", qrels)
    [after] = evaluate_mteb(splade, "SwednRetrieval", swedn)
    assert after.metrics["query_active_dims"] != before.metrics["query_active_dims"]
    assert usual == datasets.config.HF_DATASETS_CACHE


def test_data_sets_to_download_are_pinned_by_mtebs_metadata() -> None:
    found = required_datasets(["NorQuadRetrieval", "SwednRetrieval"])
    assert found["NorQuadRetrieval"] == ("mteb/norquad_retrieval", "9dcfcdb2aa578dd178330d49bf564248935f7fbe")
    assert found["SwednRetrieval"] == ("mteb/SwednRetrieval", "3920fa0e9ae78f6af3d8a20b33b39e1f9acdfdf9")


def test_multilingual_nanobeir_is_pinned_and_has_norwegian_and_swedish() -> None:
    tasks = benchmark_tasks("NanoBEIR-multilingual")
    pinned = required_datasets(tasks)
    assert len(pinned) == 13 and all(re.fullmatch("[0-9a-f]{40}", revision) for _, revision in pinned.values())
    assert pinned["MultilingualNanoNQRetrieval"] == ("mteb/MultilingualNanoNQRetrieval", "4104e3376fe243f0bd4845e204b01c0fc3f7d1d7")
    subsets = [set(mteb.get_task(task).metadata.eval_langs) for task in tasks]
    assert all({"no", "sv"} <= each and "da" not in each for each in subsets)
    with refused("no benchmark", "'NanoBEIR-nordic'"):
        benchmark_tasks("NanoBEIR-nordic")


def test_a_task_of_many_languages_reads_for_us_as_for_mteb(splade: SparseEncoder, binary_set: RetrievalSet, tmp_path: Path) -> None:
    files, parts = tmp_path / "files", {"corpus": binary_set.corpus, "queries": binary_set.queries}
    for part, texts in parts.items():
        write(files / f"no-{part}/test-00000-of-00001.parquet", {"id": list(texts), "text": list(texts.values())})
    pairs = [(query, document) for query, documents in binary_set.qrels.items() for document in documents]
    qrels = {"query-id": [query for query, _ in pairs], "corpus-id": [document for _, document in pairs], "score": [1] * len(pairs)}
    write(files / "no-qrels/test-00000-of-00001.parquet", qrels)
    names = [f"no-{part}" for part in ("corpus", "queries", "qrels")]
    configs = "".join(f"- {{config_name: {name}, data_files: [{{split: test, path: {name}/test-*}}]}}\n" for name in names)
    (files / "README.md").write_text(f"---\nconfigs:\n{configs}---\n")
    [theirs] = evaluate_mteb(splade, "MultilingualNanoNQRetrieval", files, languages=["nb"])
    (tmp_path / "nano").mkdir()
    paths = [path.relative_to(files).as_posix() for path in files.rglob("*.*")]
    lay_out(files, part_files(paths, files, "no", "mteb/x"), "NanoNQ", tmp_path / "nano")
    [read] = load_nanobeir(tmp_path / "nano", "nanobeir-no")
    assert (read.queries, read.corpus, read.qrels) == (binary_set.queries, binary_set.corpus, binary_set.qrels)
    assert theirs.metrics["ndcg@10"] == round(evaluate(splade, read).metrics["ndcg@10"], 5)


def test_a_benchmarks_name_stands_for_its_retrieval_tasks_and_each_task_runs_once() -> None:
    scandinavian = {
        "NorQuadRetrieval", "SNLRetrieval", "SwednRetrieval", "SweFaqRetrieval", "DanFeverRetrieval", "TV2Nordretrieval",
        "TwitterHjerneRetrieval",
    }  # fmt: skip
    first, *others = expand(["SciFact", "SNLRetrieval", "MTEB(Scandinavian, v1)", "SciFact"])
    assert first == "SciFact" and others[0] == "SNLRetrieval" and len(others) == 7 and set(others) == scandinavian
    assert expand(["NanoBEIR-multilingual"]) == benchmark_tasks("NanoBEIR-multilingual")
    with refused("evaluation.mteb", "'MTEB(Scandinavian'", "'MTEB(Scandinavian, v1)'"):
        required_datasets(expand(["MTEB(Scandinavian", "v1)"]))  # as YAML reads a name with a comma in brackets


@pytest.mark.parametrize(
    ("task", "languages", "subsets"),
    [
        ("MultilingualNanoNQRetrieval", ["da", "nn", "sv"], ["no", "sv"]),
        ("MultilingualNanoNQRetrieval", ["en"], ["en"]),
        ("MultilingualNanoNQRetrieval", ["da"], ["ar", "de", "en", "es", "fr", "it", "ja", "ko", "no", "pt", "sv"]),
        ("SwednRetrieval", ["da"], ["default"]),
    ],
)
def test_a_task_of_many_languages_has_those_asked_for_or_all_if_it_has_none_of_them(
    task: str, languages: list[str], subsets: list[str]
) -> None:
    assert sorted(get_task(task, languages).hf_subsets) == subsets


def test_an_unknown_task_is_refused_with_close_names() -> None:
    with refused("evaluation.mteb", "no task", "'NorQuadRetrival'", "NorQuadRetrieval"):
        required_datasets(["NorQuadRetrival"])


def test_a_task_other_than_retrieval_is_refused() -> None:
    with refused("evaluation.mteb", "NordicLangClassification", "type Classification"):
        required_datasets(["NordicLangClassification"])


def test_a_missing_folder_is_not_downloaded_from_the_hub(splade: SparseEncoder, tmp_path: Path) -> None:
    with refused("SwednRetrieval", "download stage"):
        evaluate_mteb(splade, "SwednRetrieval", tmp_path / "absent")


def test_a_folder_with_other_data_is_refused(splade: SparseEncoder, tmp_path: Path) -> None:
    write(tmp_path / "other/data/test-0.parquet", {"unrelated": ["x"]})
    with refused("SwednRetrieval", "load"):
        evaluate_mteb(splade, "SwednRetrieval", tmp_path / "other")
