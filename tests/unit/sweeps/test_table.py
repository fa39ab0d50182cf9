"""The live table on a narrow terminal."""

import re
from pathlib import Path

import pytest

from stages.config.sweep import SweepFile
from stages.sweeps.plan import Plan
from stages.sweeps.space import Checker
from stages.sweeps.state import Result, Sweep
from stages.sweeps.table import Table


def test_a_narrow_terminal_shows_the_summary_and_a_line_for_each_trial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in {"FORCE_COLOR": "1", "TERM": "xterm", "COLUMNS": "80", "LINES": "24"}.items():
        monkeypatch.setenv(name, value)
    weights = {f"loss.{side}_regularizer_weight": [1e-4, 3e-4, 1e-3, 3e-3] for side in ("query", "document")}
    file = SweepFile.model_validate({"method": "grid", "parameters": {"loss.regularizer": ["flops", "df_flops"], **weights}})
    sweep = Sweep(tmp_path / "s")
    plan = Plan(sweep, file, Checker(file, Path("s.yaml")))
    for number in range(19):
        sweep.end(number, Result("done", metrics={"mean.ndcg@10": 0.3}))
    sweep.end(19, Result("failed", "training: the model collapsed " * 9))
    plan.refresh()
    with Table(sweep, file, plan) as table:
        table.show(plan, [20])
    printed = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", capsys.readouterr().out).replace("\r", "").strip("\n")
    lines = printed.split("\n")
    assert len(lines) <= 24 and all(len(line) <= 80 for line in lines)
    assert lines[0].startswith("20 of 32 trials, 1 failed, best mean.ndcg@10 0.3000")
    assert re.search(r"^ ?20 +starts +df_flops 0.0003 0.0001 *$", printed, re.M) and re.search(r"^ ?19 +✗ failed .*… *$", printed, re.M)


def test_a_result_whose_process_has_yet_to_end_is_printed_once_as_the_result(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = SweepFile.model_validate({"method": "grid", "parameters": {"training.learning_rate": [0.1, 0.2]}})
    sweep = Sweep(tmp_path / "s")
    plan = Plan(sweep, file, Checker(file, Path("s.yaml")))
    table = Table(sweep, file, plan)
    table.show(plan, [0])
    sweep.end(0, Result("done", metrics={"mean.ndcg@10": 0.3}))
    plan.refresh()
    for running in ([0], [1], []):
        table.show(plan, running)
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("trial 0")]
    assert [line.split()[2] for line in lines] == ["starts", "✓"]
