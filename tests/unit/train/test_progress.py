"""What a training run prints: a bar on a terminal, a few lines elsewhere, and where Ctrl-C stopped it."""

import io
import sys
from pathlib import Path
from typing import Any

import pytest
from transformers import TrainerCallback, TrainerState, TrainingArguments

from stages.train.progress import Progress
from stages.train.run import summary
from stages.train.selection import Validation
from stages.train.trainer import Trained
from tests.unit.train.conftest import Run


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def play(steps: range, total: int, monkeypatch: pytest.MonkeyPatch, stderr: io.StringIO) -> str:
    """What is printed of ``steps`` steps that are all logged."""
    monkeypatch.setattr(sys, "stderr", stderr)
    progress, state = Progress("eval_mean_ndcg@10"), TrainerState(max_steps=total, global_step=steps.start)
    told: Any = (TrainingArguments(), state, None)
    progress.on_train_begin(*told)
    for step in steps:
        state.global_step = step + 1
        progress.on_step_end(*told)
        progress.on_log(*told, logs={"loss": 0.5, "document_active_dims": 16.3, "eval_mean_ndcg@10": 0.25, "grad_norm": 3.0})
    progress.close()
    return stderr.getvalue()


def test_a_log_file_gets_a_line_at_each_tenth_and_a_resumed_run_those_that_are_left(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = play(range(1000), 1000, monkeypatch, io.StringIO()).splitlines()
    assert [line.split(",")[0] for line in lines] == [f"train: step {step} of 1000" for step in range(100, 1001, 100)]
    assert all(line.endswith("left, loss 0.5, document dims 16, nDCG@10 0.250") for line in lines)
    assert len(play(range(700, 1000), 1000, monkeypatch, io.StringIO()).splitlines()) == 3


def test_a_terminal_gets_one_bar_that_goes_when_training_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    printed = play(range(700, 800), 1000, monkeypatch, Terminal())
    assert "\n" not in printed and "step 700 of 1000" in printed and "grad_norm" not in printed
    assert not printed.split("\r")[-1].strip()


class Interrupt(TrainerCallback):
    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == 5:
            raise KeyboardInterrupt


def test_the_trainer_prints_no_log_entries_and_an_interrupt_names_its_step(
    run: Run, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with pytest.raises(KeyboardInterrupt, match="at step 5 of 12"):
        run(callbacks=[Interrupt()])
    run(resume_from=tmp_path / "checkpoints" / "checkpoint-3", logging_steps=1)
    out, err = capfd.readouterr()
    assert out == "" and "train: step 12 of 12" in err and "learning_rate" not in err


def test_the_summary_has_the_last_values_and_the_best_step() -> None:
    log = [{"step": 10, "loss": 0.5, "query_active_dims": 9.0, "eval_mean_ndcg@10": 0.6}, {"step": 20, "loss": 0.4}]
    assert summary(Trained(20, log, None), None).startswith("20 steps, loss 0.4, query dims 9; ")
    validation = Validation([], eval_steps=10, batch_size=8)
    assert "best step 10 with eval_mean_ndcg@10 0.6000" in summary(Trained(20, log, 10), validation)
    assert summary(Trained(5, [], None), None).startswith("5 steps; ")
