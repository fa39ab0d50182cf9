"""The whole default pipeline on the built-in sample: the result is good, and the same every time."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stages.runtime.files import remove
from tests.pipeline.conftest import SMALL, Workspace, make_workspace

pytestmark = pytest.mark.slow


def test_splade_beats_bm25_on_the_sample_with_few_active_dimensions(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path)
    remove(tmp_path / "dvc.lock")
    workspace.run("dvc", "repro", "evaluate")
    mean = json.loads((tmp_path / "metrics" / "evaluation.json").read_text())["mean"]
    assert mean["ndcg@10"] >= mean["bm25_ndcg@10"] + 0.03
    assert mean["query_active_dims"] < 60


def test_two_runs_of_one_commit_give_the_same_bytes(reproduced: Workspace, tmp_path: Path) -> None:
    again = make_workspace(tmp_path)
    again.edit_params(SMALL)
    again.run("dvc", "repro")
    names = ("metrics/evaluation.json", "metrics/mix.json", "metrics/data.json", "models/training.csv", "models/final/model.safetensors")
    for name in names:
        assert (tmp_path / name).read_bytes() == (reproduced.folder / name).read_bytes(), name


def test_an_mteb_task_is_kept_out_of_training_and_scored_by_mteb(workspace: Workspace, tmp_path: Path) -> None:
    task = tmp_path / "NorQuadRetrieval"
    write_norquad_retrieval(task)
    workspace.edit_params({"evaluation": {"mteb": ["NorQuadRetrieval"], "mteb_path": str(tmp_path)}})
    before = json.loads((workspace.folder / "metrics" / "mix.json").read_text())["evaluation"]
    output = workspace.run("dvc", "repro")
    assert workspace.stages_run(output) & {"download", "download-eval", "format"} == set()
    after = json.loads((workspace.folder / "metrics" / "mix.json").read_text())["evaluation"]
    assert (after["queries"] - before["queries"], after["documents"] - before["documents"]) == (12, 24)
    row = json.loads((workspace.folder / "metrics" / "evaluation.json").read_text())["NorQuadRetrieval"]
    assert {"ndcg@10", "bm25_ndcg@10", "query_active_dims"} <= set(row)
    [result] = (workspace.folder / "metrics" / "mteb").rglob("NorQuadRetrieval.json")
    assert json.loads(result.read_text())["scores"]["test"][0]["main_score"] == row["ndcg@10"]
    about = json.loads(result.with_name("model_meta.json").read_text())
    assert (about["name"], about["training_datasets"]) == ("unpublished/nordic-sparse", [])


def write_norquad_retrieval(folder: Path) -> None:
    """Twelve questions in the layout of MTEB's NorQuadRetrieval."""
    places = ["Bodø", "Vardø", "Molde", "Hamar", "Skien", "Larvik", "Gjøvik", "Harstad", "Narvik", "Alta", "Mandal", "Voss"]
    rows = {
        "question": [f"Når åpner biblioteket i {place}?" for place in places],
        "context": [f"Biblioteket i {place} åpner klokka {number} på hverdager." for number, place in enumerate(places, start=7)],
        "answers": [{"text": [f"klokka {number}"], "answer_start": [0]} for number, _ in enumerate(places, start=7)],
    }
    (folder / "data").mkdir(parents=True)
    pq.write_table(pa.table(rows), folder / "data" / "test-00000-of-00001.parquet")
