"""The settings of `modal run`: those of modal.* and those of params.yaml, refused as strictly."""

import pytest

from stages.config.cloud import assigned
from tests.refused import refused


def test_settings_are_split_and_read_as_yaml() -> None:
    modal, others = assigned(["modal.gpu=H100", "seed=7", "modal.region=eu", "loss.query_regularizer_weight=1e-4"])
    assert (modal.gpu, modal.region, modal.timeout_hours) == ("H100", "eu", 24.0)
    assert others == {"seed": 7, "loss.query_regularizer_weight": 1e-4}


@pytest.mark.parametrize(
    ("assignment", "key", "fault"),
    [
        ("modal.gpus=2", "modal.gpus", "did you mean gpu"),
        ("modal.timeout_hours=25", "modal.timeout_hours", "at most 24"),
        ("modal.retries=-1", "modal.retries", "at least 0"),
        ("training.max_steps=-5", "training.max_steps", "greater than 0"),
        ("training.max_stepz=5", "training.max_stepz", "did you mean"),
        ("profile=own", "my-search.path", "on the Hub"),
        ("seed", "seed", "key=value"),
        ("seed=[1", "seed", "YAML"),
    ],
)
def test_a_wrong_setting_is_named(assignment: str, key: str, fault: str) -> None:
    with refused(key, fault):
        assigned([assignment])
