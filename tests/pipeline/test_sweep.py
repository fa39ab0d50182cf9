"""A sweep of real, tiny training runs, killed at random moments."""

from pathlib import Path

import pytest

from tests.pipeline.survive_sweep import once


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_six_trials_with_three_random_kills_are_six_experiments(tmp_path: Path) -> None:
    assert len(once(trials=6, kills=3, seed=1, toy=False, place=tmp_path)) == 3
