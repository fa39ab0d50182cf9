"""The pipeline as people use it: dvc repro, dvc exp run, metrics and params diff, queue, run-cache, plots."""

import csv
import io
import json
import re
import time
from pathlib import Path

import pytest
from sentence_transformers import SparseEncoder

from tests.pipeline.conftest import SMALL, Workspace
from tests.refused import names
from tests.test_contracts import golden
from tests.test_contracts import metrics as metric_names


def metrics(workspace: Workspace, name: str = "evaluation") -> dict:
    return json.loads((workspace.folder / "metrics" / f"{name}.json").read_text(encoding="utf-8"))


def test_the_first_repro_runs_every_stage_and_shows_the_scores(reproduced: Workspace) -> None:
    log = (reproduced.folder.parent / "repro.log").read_text(encoding="utf-8")
    assert reproduced.stages_run(log) >= {"resolve", "download", "download-eval", "format", "mix", "train", "evaluate", "push"}
    assert re.search(r"^evaluate: nDCG@10 0\.\d+ \(stemmed BM25: 0\.\d+\) on 4 sets", log, re.M)
    for row in [*metrics(reproduced).values()]:
        if isinstance(row, dict):
            assert {"ndcg@10", "mrr@10", "recall@100", "query_active_dims", "corpus_active_dims", "flops", "bm25_ndcg@10"} <= set(row)


def test_the_names_of_metrics_are_those_of_the_list(reproduced: Workspace) -> None:
    assert sorted({*metric_names(reproduced.folder / "metrics")}) == [line for line in golden() if line.startswith("metric ")]


def test_a_second_repro_runs_resolve_alone(workspace: Workspace) -> None:
    output = workspace.run("dvc", "repro")
    assert workspace.stages_run(output) == {"resolve"}
    assert workspace.run("git", "status", "--porcelain") == ""


def test_the_report_says_whose_scores_it_shows(workspace: Workspace) -> None:
    assert "earlier run" not in workspace.run("python", "-m", "stages.commands", "report")
    failed = ("-S", "profile=own", "-S", "datasets.my-search.path=README.md", "-S", "evaluation.sets.my-search.path=README.md")
    workspace.run("dvc", "exp", "run", *failed, status=255)
    shown = workspace.run("python", "-m", "stages.commands", "report")
    assert re.search(r"earlier run: .*(format|download-eval).*changed since, or failed", shown)


def test_the_model_loads_with_stock_sentence_transformers(reproduced: Workspace) -> None:
    model = SparseEncoder(str(reproduced.folder / "models" / "final"))
    assert model.encode_query(["Når åpner biblioteket?"]).shape == (1, 1000)
    assert not list((reproduced.folder / "models" / "final").rglob("README.md"))


def test_one_value_reruns_train_and_what_follows_and_the_diffs_show_it(workspace: Workspace) -> None:
    before = metrics(workspace)
    output = workspace.run("dvc", "exp", "run", "-S", "loss.query_regularizer_weight=5.0")
    assert workspace.stages_run(output) == {"resolve", "train", "evaluate", "push"}
    assert metrics(workspace) != before
    difference = workspace.run("dvc", "metrics", "diff")
    assert "query_dims" in difference and max(map(len, difference.splitlines())) <= 120
    assert re.search(r"resolved/overrides\.yaml +loss\.query_regularizer_weight +- +5\.0", workspace.run("dvc", "params", "diff"))

    back = workspace.run("dvc", "exp", "run", "-S", "loss.query_regularizer_weight=null")
    assert "Stage 'train' is cached - skipping run" in back
    assert metrics(workspace) == before


def test_an_experiment_is_applied_and_nothing_has_to_run_again(workspace: Workspace) -> None:
    workspace.run("dvc", "exp", "run", "-n", "fewer", "-S", "datasets.sample-esci.profile=none", "mix")
    workspace.run("git", "checkout", "--quiet", "--", ".")
    workspace.run("dvc", "checkout")
    assert "sample-esci" in metrics(workspace, "mix")["sources"]
    workspace.run("dvc", "exp", "apply", "fewer")
    assert "sample-esci" not in metrics(workspace, "mix")["sources"]
    assert workspace.stages_run(workspace.run("dvc", "repro", "mix")) == {"resolve"}
    back = workspace.run("dvc", "exp", "run", "-S", "datasets.sample-esci.profile=sample")
    assert workspace.stages_run(back) == {"resolve"}


def test_what_a_person_compares_is_in_the_first_120_columns(workspace: Workspace) -> None:
    workspace.edit_params({"model": {"made": dict.fromkeys(SMALL["model"]["made"])}, "training": dict.fromkeys(SMALL["training"])})
    workspace.run("python", "-m", "stages.resolve")  # without the columns of this workspace's own sizes
    workspace.edit_params({"loss": {"query_regularizer_weight": 1e-4}})
    workspace.run("python", "-m", "stages.resolve")
    header = next(line for line in workspace.run("dvc", "exp", "show").splitlines() if "Experiment" in line)
    assert header[:120].split()[2:7] == ["ndcg@10", "bm25", "query_dims", "corpus_dims", "loss.query_regularizer_weight"]


def test_nothing_is_printed_about_sets_of_other_profiles(workspace: Workspace) -> None:
    log = (workspace.folder.parent / "repro.log").read_text(encoding="utf-8")
    assert "format: 4 sets" in log and not re.search(r"\b(?<!-)(nli|norquad|my-search|nanobeir)|WARNING", log)


def test_a_value_of_another_architecture_reruns_nothing_but_resolve(workspace: Workspace) -> None:
    output = workspace.run("dvc", "exp", "run", "-S", "model.k=16")
    assert workspace.stages_run(output) == {"resolve"}


def test_tracking_only_watches(workspace: Workspace) -> None:
    output = workspace.run("dvc", "exp", "run", "-S", "tracking.mlflow=false")
    assert workspace.stages_run(output) == {"resolve"}


def test_a_mistake_deletes_nothing(workspace: Workspace) -> None:
    files = sorted(p.relative_to(workspace.folder) for f in ("data", "models", "metrics") for p in (workspace.folder / f).rglob("*"))
    output = workspace.run("dvc", "exp", "run", "-S", "training.learning_rate=-1", status=255)
    assert names(output, "error: params.yaml … training.learning_rate … -1 … greater than 0")
    assert "exited with 2" in output
    assert "Traceback" not in output
    assert files == sorted(
        p.relative_to(workspace.folder) for f in ("data", "models", "metrics") for p in (workspace.folder / f).rglob("*")
    )


def test_a_set_that_is_disabled_is_left_out_of_the_mix(workspace: Workspace) -> None:
    workspace.run("dvc", "exp", "run", "-S", "datasets.sample-esci.profile=none", "mix")
    assert "sample-esci" not in metrics(workspace, "mix")["sources"]
    assert "sample-nli" in metrics(workspace, "mix")["sources"]


def test_the_plots_open_without_network(workspace: Workspace) -> None:
    workspace.run("dvc", "plots", "show")
    page = workspace.folder / "dvc_plots" / "index.html"
    html = page.read_text(encoding="utf-8")
    assert not re.search(r"""(src|href)=["']?(https?:)?//""", html)
    pictures = [page.parent / source for source in re.findall(r'<img[^>]* src="([^"]+)"', html)]
    assert {picture.stem.partition("_")[2] for picture in pictures} == {
        "metrics_curves",
        "metrics_data",
        "metrics_evaluation",
        "metrics_explain",
        "models_training",
    }
    assert all(picture.read_bytes().startswith(b"\x89PNG") for picture in pictures)


@pytest.mark.slow
def test_experiments_run_from_a_queue_and_in_a_temporary_folder(workspace: Workspace) -> None:
    weights = ("1e-05", "0.01", "0.1")
    for weight in weights:
        workspace.run("dvc", "exp", "run", "--queue", "-S", f"loss.query_regularizer_weight={weight}")
    workspace.run("dvc", "queue", "start")
    deadline = time.monotonic() + 600
    while len(re.findall(r"Success", workspace.run("dvc", "queue", "status"))) < len(weights):
        assert "Failed" not in workspace.run("dvc", "queue", "status")
        assert time.monotonic() < deadline
        time.sleep(2)
    workspace.run("dvc", "exp", "run", "--temp", "-S", "loss.query_regularizer_weight=1e-06")
    rows = list(csv.DictReader(io.StringIO(workspace.run("dvc", "exp", "show", "--csv"))))
    [column] = [name for name in rows[0] if name == "loss.query_regularizer_weight"]
    assert {*weights, "1e-06"} <= {row[column] for row in rows}


def test_git_and_dvc_hold_what_they_should(reproduced: Workspace) -> None:
    tracked = reproduced.run("git", "ls-files").splitlines()
    assert {"dvc.lock", "metrics/summary.json", "resolved/train.yaml"} <= set(tracked)
    made = ("data/", "models/", "checkpoints/", "mlflow")
    assert [name for name in tracked if name.startswith(made) and not name.endswith(".gitignore")] == []


def test_params_of_the_run_are_logged_to_a_local_mlflow_store(reproduced: Workspace) -> None:
    from mlflow.tracking import MlflowClient

    client = MlflowClient(f"sqlite:///{reproduced.folder / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("nordic-sparse")
    runs = client.search_runs([experiment.experiment_id])
    [first] = [run for run in runs if run.info.run_id == runs[-1].info.run_id]
    assert first.data.params["loss.query_regularizer_weight"] == "0.001"
    assert "mean.ndcg_at_10" in first.data.metrics and "loss" in first.data.metrics
    assert first.info.status == "FINISHED"


@pytest.mark.slow
def test_own_data_by_relative_paths_in_place_in_a_queue_and_in_a_copy_and_again_when_its_files_change(workspace: Workspace) -> None:
    folder = write_beir(workspace.folder.parent / "my-search")
    output = workspace.run("dvc", "exp", "run", "-S", "profile=own", "-S", "evaluation.sets.my-search.language=null")
    assert set(metrics(workspace, "mix")["sources"]) == {"my-search"}
    assert set(metrics(workspace)) == {"my-search", "mean"}
    output += workspace.run("python", "-m", "stages.commands", "report")
    assert re.search(r"^my-search +50 +\d+", output, re.M)
    assert names(output, "10 queries, 60 documents … 50 more queries … my-search: 10 documents")

    workspace.commit("own")
    workspace.run("dvc", "exp", "run", "--temp", "-n", "copy", "-S", "loss.query_regularizer_weight=0.01")
    workspace.run("dvc", "exp", "run", "--queue", "-n", "queued", "-S", "loss.query_regularizer_weight=0.1")
    workspace.run("dvc", "queue", "start")
    deadline = time.monotonic() + 300
    while "Success" not in (status := workspace.run("dvc", "queue", "status")):
        assert "Failed" not in status and time.monotonic() < deadline, workspace.run("dvc", "queue", "logs", "queued")
        time.sleep(2)
    assert {"copy", "queued"} <= set(re.findall(r"\w+", workspace.run("dvc", "exp", "list", "--name-only")))

    assert workspace.stages_run(workspace.run("dvc", "repro")) == {"resolve"}
    with (folder / "queries.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"_id": "q60", "text": "Hvem bygde huset i gate 3?"}\n')
    with (folder / "qrels" / "test.tsv").open("a", encoding="utf-8") as file:
        file.write("q60\td3\t1\n")
    again = workspace.run("dvc", "repro")
    assert {"resolve", "download", "download-eval", "format", "mix", "evaluate"} <= workspace.stages_run(again)
    assert "my-search: 11 queries" in again


def write_beir(folder: Path) -> Path:
    """A BEIR folder of 60 documents; 50 training queries and 10 for testing."""
    (folder / "qrels").mkdir(parents=True)
    corpus = [{"_id": f"d{i}", "title": f"Vei {i}", "text": f"Huset i gate nummer {i} ble bygd i {1800 + i}."} for i in range(60)]
    queries = [{"_id": f"q{i}", "text": f"Når ble huset i gate {i} bygd?"} for i in range(60)]
    for name, rows in (("corpus", corpus), ("queries", queries)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    for split, numbers in (("train", range(50)), ("test", range(50, 60))):
        lines = [f"q{i}\td{i}\t1\n" for i in numbers]
        (folder / "qrels" / f"{split}.tsv").write_text("query-id\tcorpus-id\tscore\n" + "".join(lines), encoding="utf-8")
    return folder
