"""What the output of a trial that ended badly means: its own failure, the machine's, or a kill."""

from pathlib import Path

import pytest

from stages.sweeps import trial
from stages.sweeps.trial import KILLED, BrokenClone, reason
from tests.refused import refused

DVC = "ERROR: failed to reproduce 'train': failed to run: python -m stages.train, exited with {}"


def test_a_stage_s_error_is_the_reason() -> None:
    log = f"train: step 1\nerror: training: out of memory with 8 rows; halve the batch\n{DVC.format(2)}\n"
    assert reason(log, 255) == "training: out of memory with 8 rows; halve the batch"


def test_a_traceback_s_last_line_is_the_reason() -> None:
    assert reason(f"Traceback (most recent call last):\n  File x\nValueError: bad\n{DVC.format(1)}\n", 255) == "ValueError: bad"


@pytest.mark.parametrize("status", [-9, 137])
def test_a_stage_that_was_killed_is_to_be_run_again(status: int) -> None:
    with pytest.raises(SystemExit) as ended:
        reason(DVC.format(status), 255)
    assert ended.value.code == KILLED


def test_a_fault_of_dvc_itself_costs_the_clone_and_not_the_trial() -> None:
    with pytest.raises(BrokenClone, match="malformed"):
        reason("Reproducing experiment 's-000'\nERROR: unexpected error - database disk image is malformed\n\nHaving any troubles?", 255)


def test_dvc_killed_is_to_be_run_again() -> None:
    with pytest.raises(SystemExit):
        reason("Running stage 'train'", -9)


@pytest.mark.parametrize(
    "line",
    [
        "error: checkpoints/x: cannot be written (No space left on device); make room",
        "ERROR: unexpected error - [Errno 28] No space left",
        "ERROR: failed to reproduce 'mix': database or disk is full",
    ],
)
def test_a_full_disk_is_not_the_trial_s_fault(line: str) -> None:
    with refused(line.partition(": ")[2][-20:]):
        reason(f"{line}\n{DVC.format(2)}\n", 255)


def test_a_full_disk_is_known_even_if_nothing_could_be_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trial.require_room(tmp_path, tmp_path / "none")
    monkeypatch.setattr(trial, "ROOM", 1e18)
    with refused(f"{tmp_path} … No space left … make room"):
        trial.require_room(tmp_path / "none", tmp_path)
