"""A trial stops when its best score so far is below the median of the others'."""

import json
from pathlib import Path

import pytest

from stages.config.sweep import Prune
from stages.sweeps.prune import falls_behind
from stages.sweeps.state import PROGRESS, Sweep, Trial


def sweep_of(folder: Path, *scores: list[float | None]) -> Sweep:
    """A trial for each list, with a score at each of its steps 1, 2, … of 4."""
    sweep = Sweep(folder)
    for number, values in enumerate(scores):
        sweep.add(Trial(number, number, {}))
        entries = [{"step": step, "steps": 4, "score": value} for step, value in enumerate(values, start=1) if value is not None]
        (sweep.place(number) / PROGRESS).write_text("".join(f"{json.dumps(entry)}\n" for entry in entries) + '{"step": 9')
    return sweep


@pytest.mark.parametrize(
    ("own", "stops"),
    [([0.1], True), ([0.5], False), ([0.3], False), ([0.1, 0.9], False), ([0.9, 0.1], False), ([0.1, 0.1, 0.1, 0.1], False), ([], False)],
)
def test_below_the_median_of_best_scores_at_the_same_step(tmp_path: Path, own: list[float | None], stops: bool) -> None:
    sweep = sweep_of(tmp_path, own, [0.2, 0.3], [0.3, 0.4], [0.4, 0.5])
    assert bool(falls_behind(sweep, 0, Prune(after_trials=3))) is stops


def test_not_before_enough_others_have_come_as_far_nor_before_its_time(tmp_path: Path) -> None:
    sweep = sweep_of(tmp_path, [0.1, 0.1], [0.2], [0.3, 0.4], [0.4, 0.5])
    assert not falls_behind(sweep, 0, Prune(after_trials=3))
    assert not falls_behind(sweep, 0, Prune(after_trials=2, after_steps=3))
    assert ["0.1000 at step 2", "0.4500"][1] in falls_behind(sweep, 0, Prune(after_trials=2, after_steps=2))
