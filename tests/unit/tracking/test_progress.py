"""The file that tells a sweep how far a training run is."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from stages.runtime.root import PROGRESS
from stages.tracking.progress import ProgressFile

STATE: Any = SimpleNamespace(global_step=3, max_steps=9)
NOTHING: Any = None


def test_a_line_for_each_log_entry_with_the_score_that_chooses_the_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PROGRESS, str(tmp_path / "p"))
    watcher = ProgressFile("eval_dev_ndcg@10")
    watcher.on_train_begin(NOTHING, STATE, NOTHING)
    watcher.on_log(NOTHING, STATE, NOTHING, {"loss": 2, "lr": 1e-3})
    watcher.on_log(NOTHING, STATE, NOTHING, {"eval_dev_ndcg@10": 0.5, "eval_mean_ndcg@10": 0.1})
    lines = [json.loads(line) for line in (tmp_path / "p").read_text().splitlines()]
    at = {"step": 3, "steps": 9}
    assert [{key: value for key, value in line.items() if key != "time"} for line in lines] == [at, at | {"loss": 2.0}, at | {"score": 0.5}]


@pytest.mark.parametrize(("name", "value"), [("RANK", "1"), (PROGRESS, "/nonexistent/p")])
def test_it_fails_no_run_and_only_rank_0_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(PROGRESS, str(tmp_path / "p"))
    monkeypatch.setenv(name, value)
    ProgressFile().on_log(NOTHING, STATE, NOTHING, {"loss": 2})
    assert not (tmp_path / "p").exists()
