"""Sweep files: what is refused, by key and fault, before anything starts."""

from pathlib import Path

import pytest

from stages.config.sweep import Space, SweepFile, quantile, read_sweep
from tests.refused import refused

GRID = "method: grid\n"
RATES = "parameters: {training.learning_rate: [0.1, 0.2]}\n"


def read(folder: Path, text: str, name: str = "s.yaml") -> SweepFile:
    (folder / name).write_text(text, encoding="utf-8")
    return read_sweep(folder / name)


@pytest.mark.parametrize(
    ("text", "pins"),
    [
        (RATES, "s.yaml: method: … no value"),
        ("method: annealing\n" + RATES, "method: … grid, random or tpe … annealing"),
        (GRID + RATES + "trails: 3", "trails: … not a key of a sweep file … did you mean trials"),
        ("method: tpe\ntrials: 0\n" + RATES, "trials: … greater than 0, got 0"),
        ("method: random\n" + RATES, "trials … method random"),
        (GRID + RATES + "trials: 3", "no trials with method grid"),
        (GRID + "parameters: {}", "parameters, seeds or both"),
        (GRID + "parameters: {a.b: []}", "parameters.a.b.values … at least 1"),
        (GRID + "parameters: {a.b: [1, 1]}", "parameters.a.b.values … repeat 1"),
        (GRID + "parameters: {a.b: {low: 1, high: 2}}", "a.b … points"),
        (GRID + "parameters: {a.b: {low: 2, high: 1, points: 2}}", "parameters.a.b … low below its high"),
        (GRID + "parameters: {a.b: {low: 0.0, high: 1.0, scale: log, points: 2}}", "parameters.a.b … above 0"),
        (GRID + "parameters: {a.b: {low: 1, hihg: 2}}", "parameters.a.b.hihg … did you mean parameters.a.b.high"),
        (GRID + "parameters: {a.b: {mean: 1}}", "parameters.a.b … mean and deviation"),
        (GRID + "parameters: {a.b: 3}", "parameters.a.b … got 3"),
        (GRID + RATES + "fixed: {training.learning_rate: 0.1}", "training.learning_rate … not both"),
        (GRID + RATES + "seeds: [1, 1]", "seeds: … repeat 1"),
        (GRID + RATES + "seeds: [1]\nfixed: {seed: 3}", "seed … seeds alone"),
        (GRID + RATES + "objectives: [mean.ndcg@10]", "objectives.0: … maximize METRIC … mean.ndcg@10"),
        (GRID + RATES + "launcher: cloud", "launcher: … local … cloud"),
        (GRID + RATES + "prune: {after_trials: 0}", "prune.after_trials: … greater than 0"),
        ("[1", "must be YAML"),
    ],
)
def test_a_mistake_is_one_line_that_names_the_key(tmp_path: Path, text: str, pins: str) -> None:
    with refused(pins):
        read(tmp_path, text)


def test_the_name_of_the_file_must_do_for_git_and_it_must_exist(tmp_path: Path) -> None:
    with refused("a b.yaml … letters"):
        read(tmp_path, GRID + RATES, "a b.yaml")
    with refused("none.yaml: is missing"):
        read_sweep(tmp_path / "none.yaml")


def test_a_range_gives_whole_numbers_only_between_whole_bounds() -> None:
    assert [quantile(Space(low=1, high=4), share) for share in (0, 0.5, 1)] == [1, 2, 4]
    assert [quantile(Space(low=1.0, high=4), share) for share in (0, 0.5, 1)] == [1.0, 2.5, 4.0]
    assert quantile(Space(mean=0.01, deviation=1.0, scale="log"), 0.5) == 0.01
    assert quantile(Space(mean=0.0, deviation=1.0), 0.0) == pytest.approx(-3.09)
