"""Which configurations a sweep tries, and what it refuses by the rules of params.yaml."""

from pathlib import Path

import pytest

from stages.config.sweep import SweepFile
from stages.sweeps.space import Checker, draws, grid, inside, settings_of
from tests.refused import refused

PATH = Path("sweeps/s.yaml")


def file(method: str = "grid", **values: object) -> SweepFile:
    return SweepFile.model_validate({"method": method, **values})


def test_a_grid_is_every_combination_with_each_seed() -> None:
    sweep = file(parameters={"a": [1, None], "b": {"low": 0.001, "high": 0.1, "scale": "log", "points": 3}}, seeds=[1, 2], fixed={"c": "x"})
    found = grid(sweep)
    assert [tuple(each.values()) for each in found] == [(a, b) for a in (1, None) for b in (0.001, 0.01, 0.1)]
    assert settings_of(sweep, found[0]) == [{"c": "x", "a": 1, "b": 0.001, "seed": seed} for seed in (1, 2)]


def test_draws_are_different_from_each_other_and_the_same_for_the_same_file() -> None:
    sweep = file("random", trials=5, parameters={"a": {"low": 0.0, "high": 1.0}, "b": [1, 2]})
    found = draws(sweep)
    assert len({str(each) for each in found}) == 5 and found == draws(sweep)
    assert found != draws(sweep.model_copy(update={"seed": 1})) and all(inside(sweep, each) for each in found)


def test_a_small_space_gives_fewer_draws_than_asked_for() -> None:
    assert len(draws(file("random", trials=10, parameters={"a": [1, 2, 3]}))) == 3


@pytest.mark.parametrize("configuration", [{"a": 2.5, "b": 1}, {"a": 0.5, "b": 3}, {"a": 0.5}, {"a": None, "b": 1}])
def test_what_the_file_no_longer_holds_is_outside(configuration: dict[str, object]) -> None:
    assert not inside(file("random", trials=1, parameters={"a": {"low": 0.0, "high": 1.0}, "b": [1, 2]}), configuration)


@pytest.mark.parametrize(
    ("parameters", "pins"),
    [
        ({"loss.regulariser": ["l1"]}, "s.yaml: loss.regulariser: … did you mean loss.regularizer"),
        ({"training.learning_rate": [0.1, -1.0]}, "training.learning_rate: … greater than 0, got -1.0 … learning_rate=-1.0"),
        ({"training.bf16": ["yes"]}, "training.bf16: … true or false"),
        ({"model.k": [16, 32]}, "parameters.model.k: 16 and 32 give the same run … splade"),
        ({"hub.push": [True], "hub.model_id": ["a/b"]}, "hub.push: … must be false"),
    ],
)
def test_what_params_yaml_refuses_or_does_not_use_is_refused(parameters: dict[str, list[object]], pins: str) -> None:
    sweep = file(parameters=parameters)
    with refused(pins):
        Checker(sweep, PATH).all_of(grid(sweep))


def test_bounds_of_a_range_are_checked_for_a_search() -> None:
    with refused("training.warmup_ratio … less than 1"):
        Checker(file("tpe", trials=3, parameters={"training.warmup_ratio": {"low": 0.0, "high": 1.5}}), PATH).corners()
