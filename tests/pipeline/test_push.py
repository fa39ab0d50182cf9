"""Pushing as people do it: by one setting, with the real client, to a Hub on loopback."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import HfApi

from tests.fakes.hub_server import LoopbackHub
from tests.pipeline.conftest import Workspace
from tests.refused import names

MODEL = "me/nordic-test"


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[LoopbackHub]:
    with LoopbackHub(user="me") as server:
        yield server


def online(hub: LoopbackHub, home: Path) -> dict[str, str]:
    return {**hub.environment(home), "HF_HUB_OFFLINE": "0"}


def pushes(hub: LoopbackHub) -> int:
    """Commits of ours: the Hub makes one of its own when a repository is created."""
    return len(hub.commits("model", MODEL)) - 1


def test_a_b_a_pushes_three_times_and_an_unchanged_model_not_again(workspace: Workspace, hub: LoopbackHub, tmp_path: Path) -> None:
    environment = online(hub, tmp_path)
    workspace.edit_params({"hub": {"push": True, "model_id": MODEL}})
    output = workspace.run("dvc", "repro", **environment)
    assert workspace.stages_run(output) == {"resolve", "push"}
    assert pushes(hub) == 1
    files = hub.files("model", MODEL)
    assert {"README.md", "model.safetensors", "modules.json", "tokenizer.json", "1_SpladePooling/config.json"} <= set(files)
    assert not [name for name in files if name.endswith((".parquet", ".csv", ".txt", ".pt", ".bin"))]
    card = files["README.md"].decode()
    scores = json.loads((workspace.folder / "metrics" / "evaluation.json").read_text())
    commit = workspace.run("git", "rev-parse", "HEAD").strip()
    assert f"{scores['mean']['bm25_ndcg@10']:.3f}" in card and commit in card
    assert str(workspace.folder) not in card
    assert HfApi(endpoint=hub.url, token=hub.token).model_info(MODEL).private

    workspace.edit_params({"hub": {"license": "apache-2.0"}})
    assert "nothing to push" in workspace.run("dvc", "repro", **environment)
    assert pushes(hub) == 1

    workspace.edit_params({"loss": {"query_regularizer_weight": 1e-4}})
    workspace.run("dvc", "repro", **environment)
    assert pushes(hub) == 2
    workspace.edit_params({"loss": {"query_regularizer_weight": None}})
    assert "Stage 'train' is cached" in workspace.run("dvc", "repro", **environment)
    assert pushes(hub) == 3


def test_a_push_in_an_experiment_stops_before_training(workspace: Workspace, hub: LoopbackHub, tmp_path: Path) -> None:
    workspace.edit_params({"hub": {"push": True, "model_id": MODEL}})
    output = workspace.run("dvc", "exp", "run", "-S", "seed=1", status=255, **online(hub, tmp_path))
    assert names(output, "error: params.yaml … hub.push … `dvc exp run`")
    assert workspace.stages_run(output) == {"resolve"}
    assert hub.requests == []


def test_without_a_token_the_push_is_a_one_line_error_and_the_model_stays(workspace: Workspace, hub: LoopbackHub, tmp_path: Path) -> None:
    workspace.edit_params({"hub": {"push": True, "model_id": MODEL}})
    environment = {**hub.environment(tmp_path, token=None), "HF_HUB_OFFLINE": "0"}
    output = workspace.run("dvc", "repro", status=255, **environment)
    assert names(output, "error: hub.push … no Hub token … `hf auth login`")
    assert "Traceback" not in output
    assert (workspace.folder / "models" / "final" / "model.safetensors").exists()
