"""The evaluate stage with a tiny model and a small set."""

import json
import shutil
from pathlib import Path
from typing import Literal, NoReturn

import pytest
import torch
from sentence_transformers import SentenceTransformer, SparseEncoder

from stages.config.schema import Prompts
from stages.config.settings import About, Compared, DenseSettings, EvaluateSettings, ScoredSet
from stages.evaluate import __main__ as evaluate
from stages.evaluate.summary import summary
from stages.evaluate.untrained import Untrained
from stages.retrieval.treatment import UNTREATED, Treatment
from tests import tiny_models
from tests.refused import refused


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> EvaluateSettings:
    """Settings in a folder with a model and the set `mine`, one of whose 12 judgements names a document that does not exist."""
    tiny_models.save(tmp_path / "models" / "final", "splade")
    folder = tmp_path / "data" / "eval" / "mine"
    (folder / "qrels").mkdir(parents=True)
    (folder / "corpus.jsonl").write_text(json.dumps({"_id": "d", "title": "", "text": "en bok"}) + "\n")
    (folder / "queries.jsonl").write_text("".join(json.dumps({"_id": f"q{i}", "text": "bok"}) + "\n" for i in range(11)))
    rows = "".join(f"q{i}\td\t1\n" for i in range(11))
    (folder / "qrels" / "test.tsv").write_text(f"query-id\tcorpus-id\tscore\n{rows}q1\tgone\t1\n")
    monkeypatch.chdir(tmp_path)
    sets = {"mine": ScoredSet(kind="beir", split=None, language=None)}
    return EvaluateSettings(batch_size=2, trust_remote_code=False, device="cpu", mteb=[], active_dims=[], sets=sets)


def test_a_dense_model_is_scored_and_fused_with_the_others(settings: EvaluateSettings, dense: SentenceTransformer) -> None:
    dense.save_pretrained("models/dense")
    named = settings.model_copy(update={"dense": DenseSettings(trust_remote_code=False, prompts=Prompts())})
    [mine], _ = evaluate.evaluate(named, UNTREATED)
    systems = ["bm25", "bm25_stemmed", "dense", "hybrid_sparse_dense", "hybrid_bm25_dense", "hybrid_sparse_bm25"]
    assert [*mine.runs] == ["model", *systems]
    assert summary([mine])["mine"].items() >= {f"{system}_ndcg@10": 1.0 for system in systems}.items()


def run_out(*_: object, **__: object) -> NoReturn:
    torch.empty(2**60)
    raise AssertionError("no memory holds that")


def test_a_set_is_scored_without_a_request_and_ignored_qrels_are_printed_and_counted(
    settings: EvaluateSettings, no_network: None, capsys: pytest.CaptureFixture[str]
) -> None:
    [mine], _ = evaluate.evaluate(settings, UNTREATED, queries=Path("queries"))
    systems = ["model", "bm25", "bm25_stemmed", "hybrid_sparse_bm25"]
    assert [*mine.runs] == systems and "dense_ndcg@10" not in mine.metrics
    assert {path.name for path in Path("queries").iterdir()} == {"mine.parquet", *(f"mine.{system}.trec" for system in systems)}
    assert mine.metrics["ndcg@10"] == 1.0 and (mine.queries, mine.documents, mine.ignored) == (11, 1, 1)
    printed = capsys.readouterr().out
    assert printed == "mine: 11 queries, 1 documents; 1 of 12 rows of the qrels name unknown ids (document 'gone'), which are ignored\n"


@pytest.mark.parametrize("long_documents", ["cut", "max_vector", "max_score"])
def test_long_documents_are_treated_as_the_models_own_file_says(
    settings: EvaluateSettings, long_documents: Literal["cut", "max_vector", "max_score"], tmp_path: Path
) -> None:
    documents = [{"_id": "a", "text": "0"}, {"_id": "long", "text": "0 1 2 3 4 " * 20 + "øåæ " * 20}]
    folder = tmp_path / "data" / "eval" / "mine"
    (folder / "corpus.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in documents))
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq1\tlong\t1\n")
    Treatment(long_documents, overlap=8).write(tmp_path / "models" / "final")
    [mine], explanations = evaluate.evaluate(settings, evaluate.treatment_of(settings))
    expected = (0.5, pytest.approx(98 / 161)) if long_documents == "cut" else (0.0, 0.0)
    assert (mine.metrics["documents_cut"], mine.metrics["tokens_lost"]) == expected
    assert mine.metrics["corpus_active_dims"] > 0 and explanations[0].document.terms


def test_an_mteb_tasks_result_is_written_in_mtebs_format_with_what_params_yaml_says_of_the_model(
    settings: EvaluateSettings, swedn: Path, no_network: None
) -> None:
    shutil.move(swedn, evaluate.MTEB / "SwednRetrieval")
    evaluate.FINGERPRINT.write_text("4fb1040c1d2d26f2\n")
    about = About(languages=["sv"], base="ltg/norbert3-base", trained_on=["mteb/SwednRetrieval"])
    with_task = settings.model_copy(update={"mteb": ["SwednRetrieval"], "about": about, "model_id": "me/a-model", "license": "mit"})
    results, _ = evaluate.evaluate(with_task, UNTREATED, queries=Path("queries"))
    assert [result.name for result in results] == ["mine", "SwednRetrieval"]
    folder = evaluate.MTEB_RESULTS / "results/me__a-model/4fb1040c1d2d26f2"
    assert json.loads((folder / "SwednRetrieval.json").read_text())["scores"]["test"][0]["main_score"] == results[1].metrics["ndcg@10"]
    found = json.loads((folder / "model_meta.json").read_text())
    assert (found["languages"], found["adapted_from"], found["license"]) == (["swe-Latn"], "ltg/norbert3-base", "mit")
    assert {"SwednRetrieval"} <= {*found["training_datasets"]} and Path("queries/SwednRetrieval.parquet").exists()
    evaluate.evaluate(settings, UNTREATED)
    assert [path.name for path in evaluate.MTEB_RESULTS.iterdir()] == ["unused.txt"]


@pytest.mark.parametrize(
    ("place", "line"),
    [
        ("sentence_transformers.SparseEncoder.encode_query", "scoring mine … halve evaluation.per_device_eval_batch_size"),
        ("sentence_transformers.SparseEncoder.__init__", "loading the model … training.device"),
        ("stages.retrieval.bm25.retrieve", "scoring mine"),
        ("stages.evaluate.terms.explain", "explaining queries"),
    ],
)
def test_out_of_memory_names_the_set_and_what_to_change(
    settings: EvaluateSettings, monkeypatch: pytest.MonkeyPatch, place: str, line: str
) -> None:
    monkeypatch.setattr(place, run_out)
    with refused("evaluation", "out of memory", line):
        evaluate.evaluate(settings, UNTREATED)


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("std::bad_alloc")])
def test_a_librarys_own_memory_error_is_reported_too(settings: EvaluateSettings, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def fail(*_: object, **__: object) -> NoReturn:
        raise error

    monkeypatch.setattr("stages.retrieval.bm25.retrieve", fail)
    with refused("evaluation", "out of memory", "mine"):
        evaluate.evaluate(settings, UNTREATED)


def test_every_set_is_scored_with_the_untrained_model_once_and_no_other_number_changes(settings: EvaluateSettings, tmp_path: Path) -> None:
    built: list[Path] = []

    def build() -> SparseEncoder:
        built.append(tiny_models.save(tmp_path / "untrained", "splade"))
        return SparseEncoder(str(built[0]), device="cpu")

    larger = tmp_path / "data" / "eval" / "larger"
    shutil.copytree(tmp_path / "data" / "eval" / "mine", larger)
    with (larger / "corpus.jsonl").open("a") as corpus:
        corpus.write(json.dumps({"_id": "e", "title": "", "text": "en avis"}) + "\n")
    two = settings.model_copy(update={"sets": {"larger": settings.sets["mine"], **settings.sets}})
    plain = summary(evaluate.evaluate(two, UNTREATED)[0])
    first = summary(evaluate.evaluate(two, UNTREATED, Untrained(build, "tiny", tmp_path / "kept"))[0])
    again = summary(evaluate.evaluate(two, UNTREATED, Untrained(build, "tiny", tmp_path / "kept"))[0])
    assert len(built) == 1 and again == first
    assert [first[name].pop("untrained_ndcg@10") for name in ("larger", "mine", "mean")] == [1.0, 1.0, 1.0]
    assert first == plain


def test_a_shop_is_scored_by_grades_and_next_to_another_model(settings: EvaluateSettings, tmp_path: Path) -> None:
    tiny_models.save(tmp_path / "models" / "compare", "inference-free-splade")
    shop = tmp_path / "data" / "eval" / "shop"
    shop.mkdir()
    (shop / "products.csv").write_text("id;title;brand\n1;bok;\n2;avis;\n")
    (shop / "judgements.csv").write_text("query;product_id;grade\nbok;1;E\nbok;2;I\n")
    sets = {"shop": ScoredSet(kind="products", split=None, language="nb", max_tokens=9)}
    [scored], _ = evaluate.evaluate(settings.model_copy(update={"sets": sets, "compare": Compared(trust_remote_code=False)}), UNTREATED)
    names = {"ndcg@10_condensed", "recall_exact@10", "recall_exact_substitute@100", "bm25_recall_exact@10_condensed"}
    assert names | {"compare_ndcg@10", "compare_query_active_dims", "compare_recall_exact@10"} <= scored.metrics.keys()
    assert scored.metrics["bm25_recall_exact@10"] == scored.bm25_ndcg == 1.0
