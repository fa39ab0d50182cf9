"""The files of a sweep, as a process reads them that knows nothing else."""

import json
from pathlib import Path

from stages.sweeps.state import PROGRESS, Result, Sweep, Trial, held
from tests.refused import refused


def test_trials_and_results_are_read_as_they_were_written(tmp_path: Path) -> None:
    sweep, trial = Sweep(tmp_path), Trial(11, 3, {"a.b": [1, None], "seed": 2})
    sweep.add(trial)
    assert sweep.trials() == [trial] and sweep.trial(11) == trial and sweep.result(11) is None
    result = Result("failed", "why", {"x": 1.0}, 2.0)
    sweep.end(11, result)
    assert sweep.result(11) == result
    sweep.forget(11)
    assert sweep.result(11) is None
    with refused("trials/012/trial.json: is missing"):
        sweep.trial(12)


def test_progress_is_by_step_whatever_a_resumed_or_killed_run_wrote(tmp_path: Path) -> None:
    sweep = Sweep(tmp_path)
    sweep.add(Trial(0, 0, {}))
    lines = [
        {"step": 0},
        {"step": 2, "loss": 3.0},
        {"step": 4, "loss": 2.0},
        {"step": 2},
        {"step": 4, "loss": 1.0},
        {"step": 4, "score": 0.5},
    ]
    (sweep.place(0) / PROGRESS).write_text("".join(f"{json.dumps(line)}\n" for line in lines) + '{"step": 6, "lo')
    assert sweep.progress(0) == [{"step": 0}, {"step": 2, "loss": 3.0}, {"step": 4, "loss": 1.0, "score": 0.5}]
    assert sweep.progress(1) == []


def test_a_lock_is_held_by_one_and_freed_at_the_end(tmp_path: Path) -> None:
    with held(tmp_path / "lock", "this"), refused("this is in use"), held(tmp_path / "lock", "this", seconds=0.3):
        pass
    with held(tmp_path / "lock", "this"):
        pass


def test_half_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "sweep.json").write_text("{")
    with refused("sweep.json: is not JSON"):
        _ = Sweep(tmp_path).began_with
