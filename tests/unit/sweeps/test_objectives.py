"""Objectives that no trial can have."""

from pathlib import Path

import pytest

from stages.config.sweep import SweepFile
from stages.sweeps.objectives import METRIC, check_objectives
from stages.sweeps.space import Checker
from tests import ROOT
from tests.refused import refused


def check(eval_steps: int | None = None, **values: object) -> None:
    file = SweepFile.model_validate({"method": "grid", "parameters": {"training.learning_rate": [0.1]}, **values})
    check_objectives(file, Path("s.yaml"), Checker(file, Path("s.yaml")).params({"training.eval_steps": eval_steps}))


@pytest.mark.parametrize("metric", ["mean.ndgc@10", "ndcg@10", "mean", "mean.validation"])
def test_a_metric_that_does_not_exist_is_refused(metric: str) -> None:
    with refused(f"s.yaml: objectives: {metric} is not a metric"):
        check(objectives=[f"maximize {metric}"])


def test_scores_while_training_need_eval_steps() -> None:
    with refused("objectives: validation.mean_ndcg@10 … training.eval_steps"):
        check(objectives=["maximize validation.mean_ndcg@10"])
    with refused("prune: … training.eval_steps"):
        check(prune={})
    check(50, objectives=["maximize validation.mean_ndcg@10"], prune={})


def test_every_metric_of_the_evaluation_is_known() -> None:
    lines = (ROOT / "tests/contracts.txt").read_text(encoding="utf-8").splitlines()
    names = [line.rpartition(".")[2] for line in lines if line.startswith("metric evaluation.json mean.")]
    assert names and all(METRIC.fullmatch(name) for name in names)
