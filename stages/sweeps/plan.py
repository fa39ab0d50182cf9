"""Which trial is next: those of the file that have no result, then, for tpe, a new configuration."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from stages.config.sweep import SweepFile
from stages.runtime.errors import UserError
from stages.sweeps.space import Checker, Configuration, draws, grid, inside, settings_of
from stages.sweeps.state import Result, Sweep, Trial


class Plan:
    """The trials of a sweep file, those of earlier starts that are still valid among them.

    Attributes:
        trials: by number.
        results: of the trials that have ended.
        left_out: trials of earlier starts that the file no longer holds.
    """

    def __init__(self, sweep: Sweep, file: SweepFile, checker: Checker) -> None:
        self._sweep, self._file, self._checker = sweep, file, checker
        made = sweep.trials()
        self._next = max((trial.number for trial in made), default=-1) + 1
        self._configurations = {trial.configuration: self._parameters(trial) for trial in made}
        self._listed = {"grid": grid, "random": draws}.get(file.method, lambda _: [])(file)
        self.trials = {trial.number: trial for trial in made if self._valid(trial)}
        self.results: dict[int, Result] = {}
        self.left_out = len(made) - len(self.trials)
        if file.method == "tpe":  # the file may ask for fewer than were tried
            tried = sorted({trial.configuration for trial in self.trials.values()})[: file.trials]
            self.trials = {number: trial for number, trial in self.trials.items() if trial.configuration in tried}
        self.refresh()
        for configuration in self._listed:
            self._make(configuration)
        self._tpe: Any = None

    def _parameters(self, trial: Trial) -> Configuration:
        return {key: trial.settings.get(key) for key in self._file.parameters}

    def _valid(self, trial: Trial) -> bool:
        configuration = self._parameters(trial)
        if trial.settings not in settings_of(self._file, configuration):
            return False
        return inside(self._file, configuration) if self._file.method == "tpe" else configuration in self._listed

    def _make(self, configuration: Configuration, number: int | None = None) -> None:
        """Write down the trials of a configuration that are not there yet."""
        made = {trial.configuration for trial in self.trials.values() if self._parameters(trial) == configuration}
        number = min(made) if made else self.free_configuration() if number is None else number
        self._configurations[number] = configuration
        for settings in settings_of(self._file, configuration):
            if all(trial.settings != settings for trial in self.trials.values()):
                self.trials[self._next] = self._sweep.add(Trial(self._next, number, settings))
                self._next += 1

    def free_configuration(self) -> int:
        return max(self._configurations, default=-1) + 1

    @property
    def total(self) -> int:
        """How many trials the sweep will have had at its end, as far as that is known."""
        seeds = len(self._file.seeds or [None])
        return len(self.trials) if self._file.method != "tpe" else max(len(self.trials), (self._file.trials or 0) * seeds)

    def refresh(self) -> None:
        """Read the results that are new."""
        for number in self.trials.keys() - self.results.keys():
            if result := self._sweep.result(number):
                self.results[number] = result

    def next(self, running: Sequence[int]) -> int | None:
        """The number of the trial to start next; None if none can be started now."""
        self.refresh()
        if waiting := sorted(self.trials.keys() - self.results.keys() - {*running}):
            return waiting[0]
        if self._file.method != "tpe" or len({trial.configuration for trial in self.trials.values()}) >= (self._file.trials or 0):
            return None
        number = self.free_configuration()
        configuration = self._study().ask(number)
        self._make(configuration, number)
        try:
            for settings in settings_of(self._file, configuration):
                self._checker.params(settings)
        except UserError as error:  # values that do not go together: a result, not the end
            for trial in [trial for trial in self.trials.values() if trial.configuration == number]:
                self._sweep.end(trial.number, Result("failed", str(error).splitlines()[0]))
        return self.next(running)

    def _study(self) -> Any:
        """Optuna's study, told of every result so far."""
        outcomes = {group.configuration: (group.parameters, group.outcome()) for group in self.groups()}
        if self._tpe is None:
            from stages.sweeps.tpe import Tpe

            self._tpe = Tpe(self._file, self._sweep.folder / "optuna.log", outcomes)
        for number, (_, outcome) in outcomes.items():
            if outcome is not None:
                self._tpe.tell(number, outcome)
        return self._tpe

    def groups(self) -> list["Group"]:
        """The configurations, each with its trials."""
        found: dict[int, Group] = {}
        for number, trial in sorted(self.trials.items()):
            group = found.setdefault(trial.configuration, Group(trial.configuration, self._parameters(trial), self._file, {}))
            group.results[number] = self.results.get(number)
        return list(found.values())

    def ranked(self) -> list["Group"]:
        """The configurations that are done, the best by the first objective first; of equal ones, by the next."""
        goals = self._file.goals()
        done = [group for group in self.groups() if group.done and all(metric in group.metrics() for metric, _ in goals)]
        return sorted(done, key=lambda group: [(-1 if up else 1) * group.mean(metric) for metric, up in goals])


class Group:
    """The trials of one configuration, which differ in their seeds.

    Attributes:
        results: by the number of the trial; None while it has none.
    """

    def __init__(self, configuration: int, parameters: Configuration, file: SweepFile, results: dict[int, Result | None]) -> None:
        self.configuration, self.parameters, self._file, self.results = configuration, parameters, file, results

    @property
    def done(self) -> bool:
        return all(result is not None and result.state == "done" for result in self.results.values())

    def metrics(self) -> Mapping[str, float]:
        return next((result.metrics for result in self.results.values() if result), {})

    def values(self, metric: str) -> list[float]:
        return [result.metrics[metric] for result in self.results.values() if result and metric in result.metrics]

    def mean(self, metric: str) -> float:
        return fmean(self.values(metric))

    def deviation(self, metric: str) -> float | None:
        """The standard deviation over seeds; None with one."""
        return stdev(values) if len(values := self.values(metric)) > 1 else None

    def outcome(self) -> Any:
        """What tpe learns of the configuration: its objectives' means, "failed" or "pruned"; None while a trial is to come."""
        ended = [result for result in self.results.values() if result]
        for state in ("failed", "pruned"):
            if any(result.state == state for result in ended):
                return state
        return [self.mean(metric) for metric, _ in self._file.goals()] if self.done else None


def missing_metric(file: SweepFile, result: Result, path: Path) -> None:
    """Refuse an objective that a finished trial does not have.

    Raises:
        UserError: naming those that are most like it.
    """
    import difflib

    for metric, _ in file.goals():
        if metric not in result.metrics:
            close = difflib.get_close_matches(metric, result.metrics, n=3, cutoff=0.4)
            raise UserError(f"{path}: objectives: {metric} is not a metric of its trials; use one such as {', '.join(close)}")
