"""`make bench-gpu` runs to its end at tiny sizes on CPU, its checks hold there, and what takes too long does not stop the rest."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests import ROOT
from tests.pipeline.conftest import Workspace

SCRIPT = ROOT / "benchmarks" / "gpu" / "run.py"


def run(folder: Path, *arguments: str) -> tuple[int, list[dict[str, Any]]]:
    command = [sys.executable, str(SCRIPT), "--device", "cpu", "--smoke", "--out", str(folder), *arguments]
    status = subprocess.run(command, capture_output=True, timeout=300).returncode
    return status, json.loads((folder / "results.json").read_text())


@pytest.mark.slow
def test_every_measure_and_check_runs_and_the_checks_pass(tmp_path: Path) -> None:
    measures = ["machine", "maxima", "head_values", "head", "step", "padding", "trainer", "curves", "checkpointing"]
    status, results = run(tmp_path, "--only", *measures)
    assert [result for result in results if "error" in result] == []
    assert list(dict.fromkeys(result["measure"] for result in results)) == measures
    assert sum(result["row"].get("passes", False) for result in results) > 30
    assert status == 0 and "| stock |" in (tmp_path / "table.md").read_text()


@pytest.mark.slow
def test_the_sample_goes_through_training_and_evaluation_and_the_checkout_stays_as_it_is(reproduced: Workspace, tmp_path: Path) -> None:
    script = ["benchmarks/gpu/run.py", "--device", "cpu", "--smoke", "--only", "sample", "--out", str(tmp_path)]
    reproduced.run(sys.executable, *script)
    [result] = json.loads((tmp_path / "results.json").read_text())
    assert 0 < result["row"]["nDCG@10"] < 1 and result["row"]["engine"].startswith("training on cpu")
    assert reproduced.run("git", "status", "--porcelain") == ""


@pytest.mark.slow
def test_what_time_did_not_suffice_for_is_named_beside_what_was_measured(tmp_path: Path) -> None:
    status, results = run(tmp_path, "--only", "maxima", "trainer", "padding", "curves", "--seconds", "10.5")
    assert status == 1
    assert any("row" in result for result in results) and "error" in results[-1]
