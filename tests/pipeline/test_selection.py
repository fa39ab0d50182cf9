"""The best checkpoint is chosen if the user sets eval_steps, and DVC knows what the choice depends on."""

import csv
import json
from typing import Any

import pytest

from tests.pipeline.conftest import Workspace
from tests.refused import names


def one_language(workspace: Workspace, split: str | None) -> None:
    """Change what the evaluation set `sample` holds."""
    workspace.edit_params({"evaluation": {"sets": {"sample": {"split": split}}}})


@pytest.mark.slow
def test_the_best_checkpoint_becomes_the_model_and_only_its_sets_rerun_the_training(workspace: Workspace) -> None:
    one_language(workspace, "NanoSampleNb")
    assert "train" not in workspace.stages_run(workspace.run("dvc", "repro"))  # nothing is evaluated while training
    one_language(workspace, None)
    wanted: dict[str, Any] = {"eval_steps": 2, "eval_sets": ["sample"], "early_stopping_patience": 4}
    workspace.edit_params({"training": wanted})
    output = workspace.run("dvc", "repro")
    assert {"validation", "train", "evaluate"} <= workspace.stages_run(output)
    with (workspace.folder / "models" / "training.csv").open() as file:
        rows = {int(row["step"]): row for row in csv.DictReader(file)}
    scores = {step: float(row["eval_NanoBEIR_mean_dot_ndcg@10"]) for step, row in rows.items()}
    best = max(scores, key=lambda step: (scores[step], -step))
    assert names(output, f"step {best}", "eval_NanoBEIR_mean_dot_ndcg@10")
    reported = json.loads((workspace.folder / "metrics" / "evaluation.json").read_bytes())
    assert reported["NanoBEIR_mean_dot_ndcg@10"] == pytest.approx(scores[best], abs=1e-12)

    one_language(workspace, "NanoSampleNb")
    assert {"validation", "train"} <= workspace.stages_run(workspace.run("dvc", "repro"))
