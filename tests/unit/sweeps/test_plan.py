"""Which trial is next, and what stays valid when the sweep file changes."""

import sys
from pathlib import Path

import pytest

from stages.config.sweep import SweepFile
from stages.sweeps.plan import Plan, missing_metric
from stages.sweeps.space import Checker
from stages.sweeps.state import Result, State, Sweep
from tests.refused import refused


def file(rates: list[float], **values: object) -> SweepFile:
    return SweepFile.model_validate({"method": "grid", "parameters": {"training.learning_rate": rates}, **values})


def plan(folder: Path, sweep: SweepFile) -> Plan:
    return Plan(Sweep(folder), sweep, Checker(sweep, Path("s.yaml")))


def ended(folder: Path, number: int, score: float | None = None, state: State = "done") -> None:
    Sweep(folder).end(number, Result(state, metrics={} if score is None else {"mean.ndcg@10": score, "mean.flops": 1 - score}))


def test_trials_without_a_result_come_in_order_and_running_ones_are_left_alone(tmp_path: Path) -> None:
    trials = plan(tmp_path, file([0.1, 0.2, 0.3]))
    assert trials.next([]) == 0 and trials.next([0]) == 1
    ended(tmp_path, 1, 0.5)
    assert trials.next([0]) == 2 and trials.next([0, 2]) is None
    assert plan(tmp_path, file([0.1, 0.2, 0.3])).next([]) == 0


def test_a_changed_file_keeps_what_it_still_holds_under_the_same_number(tmp_path: Path) -> None:
    first = plan(tmp_path, file([0.1, 0.2]))
    for number, score in ((0, 0.5), (1, 0.7)):
        ended(tmp_path, number, score)
    changed = plan(tmp_path, file([0.2, 0.3]))
    assert changed.left_out == 1 and [*changed.results] == [1] and changed.next([]) == 2
    assert changed.trials[2].settings == {"training.learning_rate": 0.3} and first.trials[1] == changed.trials[1]
    assert plan(tmp_path, file([0.2], fixed={"training.max_steps": 3})).left_out == 3
    again = plan(tmp_path, file([0.2], seeds=[1]))
    assert again.results == {} and [trial.settings["seed"] for trial in again.trials.values()] == [1]


def test_configurations_are_ranked_by_the_mean_over_seeds(tmp_path: Path) -> None:
    sweep = file([0.1, 0.2], seeds=[1, 2])
    plan(tmp_path, sweep)
    for number, score in enumerate((0.1, 0.5, 0.4, 0.4)):
        ended(tmp_path, number, score)
    ranked = plan(tmp_path, sweep).ranked()
    assert [[*group.results] for group in ranked] == [[2, 3], [0, 1]]
    assert ranked[1].mean("mean.ndcg@10") == pytest.approx(0.3) and ranked[1].deviation("mean.ndcg@10") == pytest.approx(0.2828, abs=1e-4)
    lower = sweep.model_copy(update={"objectives": ["minimize mean.ndcg@10"]})
    assert [group.configuration for group in plan(tmp_path, lower).ranked()] == [0, 1]


def test_a_configuration_with_a_failed_seed_is_not_ranked(tmp_path: Path) -> None:
    sweep = file([0.1], seeds=[1, 2])
    plan(tmp_path, sweep)
    ended(tmp_path, 0, 0.5)
    ended(tmp_path, 1, state="failed")
    trials = plan(tmp_path, sweep)
    assert trials.ranked() == [] and [group.outcome() for group in trials.groups()] == ["failed"]


def test_an_objective_that_no_trial_has_is_refused_with_what_there_is() -> None:
    with refused("s.yaml: objectives: NanoNb.ndcg@10 … mean.ndcg@10"):
        missing_metric(file([0.1], objectives=["maximize NanoNb.ndcg@10"]), Result("done", metrics={"mean.ndcg@10": 0.5}), Path("s.yaml"))


def test_without_optuna_the_error_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    space = {"low": 0.001, "high": 0.1}
    file = SweepFile.model_validate({"method": "tpe", "trials": 2, "parameters": {"training.learning_rate": space}})
    with refused("tpe needs Optuna … nordic-sparse[tpe]"):
        plan(tmp_path, file).next([])


@pytest.mark.slow
def test_tpe_goes_where_the_score_is_and_goes_on_with_its_journal_or_without(tmp_path: Path) -> None:
    space = {"low": 0.0001, "high": 0.1, "scale": "log"}
    sweep = SweepFile.model_validate({"method": "tpe", "trials": 24, "parameters": {"training.learning_rate": space}, "seeds": [1, 2]})

    def run(most: int) -> list[float]:
        trials = plan(tmp_path, sweep)
        seen: list[float] = []
        while (number := trials.next([])) is not None and len(seen) < most:
            rate = trials.trials[number].settings["training.learning_rate"]
            ended(tmp_path, number, -abs(rate - 0.01))
            seen.append(rate)
        return seen

    first = run(21)  # ends between two seeds of a configuration
    assert min(first) >= 0.0001 and max(first) <= 0.1
    (tmp_path / "optuna.log").unlink()
    rest = run(100)
    assert len(first) + len(rest) == 48 and len(plan(tmp_path, sweep).groups()) == 24
    assert sum(0.003 < rate < 0.03 for rate in rest) > len(rest) / 2
    more = sweep.model_copy(update={"trials": 26})
    assert plan(tmp_path, more).next([]) == 48
