"""Every architecture, chosen by one setting, runs through all stages and gives a model for stock sentence-transformers."""

import json

import pytest
from sentence_transformers import SparseEncoder

from tests.pipeline.conftest import Workspace
from tests.pipeline.test_interrupted import digests, train_again_with_a_kill
from tests.refused import names

QUESTION = ["Når åpner biblioteket?"]


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["inference-free-splade", "csr"])
def test_one_switch_changes_the_architecture(workspace: Workspace, architecture: str) -> None:
    output = workspace.run("dvc", "exp", "run", "-S", f"architecture={architecture}")
    made = {"make-base", "validation"} if architecture == "csr" else set()  # a dense base, and dev rows to compare it with its control
    assert workspace.stages_run(output) == {"resolve", "train", "evaluate", "push"} | made
    model = SparseEncoder(str(workspace.folder / "models" / "final"))
    assert 0 < model.encode_query(QUESTION).to_dense().count_nonzero() < model.get_embedding_dimension()
    scores = json.loads((workspace.folder / "metrics" / "evaluation.json").read_text())
    assert scores["mean"]["ndcg@10"] > 0.05


@pytest.mark.parametrize("profile", ["nordic", "ecommerce"])
def test_a_profile_that_needs_the_hub_says_so_before_anything_runs(workspace: Workspace, profile: str) -> None:
    output = workspace.run("dvc", "exp", "run", "-S", f"profile={profile}", status=255)
    errors = [line for line in output.splitlines() if line.startswith("error:")]
    assert len(errors) == 2
    assert "`make pin`" in errors[0]
    assert names(errors[1], f"profile is {profile} … sample … last commit")
    assert workspace.stages_run(output) == {"resolve"}


@pytest.mark.slow
def test_two_processes_train_one_model_and_an_interrupted_run_resumes(workspace: Workspace) -> None:
    workspace.edit_params({"training": {"launcher": "torchrun", "num_processes": 2, "gather_negatives": True, "device": "cpu"}})
    workspace.run("dvc", "repro")
    undisturbed = digests(workspace)
    output = train_again_with_a_kill(workspace)
    assert output.count("resuming from") == 1
    assert digests(workspace) == undisturbed
