"""Configurations chosen by what the earlier ones gave: the Tree-structured Parzen Estimator (Bergstra et al., NeurIPS 2011), by Optuna.

Optuna's ask and tell, with a journal file next to the trials. What was run is in the trials' own files: a journal that was lost, or is of
another space because the sweep file was changed, gets the results that are still valid.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import NormalDist
from typing import Any

from stages.config.sweep import Space, SweepFile, quantile
from stages.runtime.errors import UserError
from stages.sweeps.space import Configuration

NUMBER = "configuration"
Outcome = Sequence[float] | str
"""The objectives' values, or "failed" or "pruned"."""


class Tpe:
    """The study of a sweep.

    Args:
        journal: file of Optuna's storage.
        known: configurations that were tried before, by their number, with their outcome; None where it is still to come.
    """

    def __init__(self, file: SweepFile, journal: Path, known: Mapping[int, tuple[Configuration, Outcome | None]]) -> None:
        try:
            import optuna
            from optuna.storages import JournalStorage
            from optuna.storages.journal import JournalFileBackend
        except ImportError as error:
            raise UserError("method: tpe needs Optuna; install it with `pip install 'nordic-sparse[tpe]'`") from error
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._optuna, self._spaces = optuna, file.parameters
        journal.parent.mkdir(parents=True, exist_ok=True)
        space = {key: value.model_dump() for key, value in file.parameters.items()}
        name = hashlib.sha256(json.dumps([space, file.fixed, file.seeds, file.objectives], default=str).encode()).hexdigest()[:16]
        self._study = optuna.create_study(
            storage=JournalStorage(JournalFileBackend(str(journal))),
            study_name=name,
            load_if_exists=True,
            directions=["maximize" if up else "minimize" for _, up in file.goals()],
        )
        self._study.sampler = optuna.samplers.TPESampler(seed=file.seed + len(self._study.trials), constant_liar=True)
        asked = {trial.user_attrs.get(NUMBER): trial for trial in self._study.trials}
        for trial in asked.values():
            if trial.state == optuna.trial.TrialState.RUNNING and trial.user_attrs.get(NUMBER) not in known:  # killed before it was written
                self._study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
        for number, (configuration, outcome) in known.items():
            if number not in asked and outcome is not None and not isinstance(outcome, str):
                self._study.add_trial(
                    optuna.trial.create_trial(
                        params={key: self._inverse(key, value) for key, value in configuration.items()},
                        distributions={key: self._distribution(space) for key, space in self._spaces.items()},
                        values=list(outcome),
                        user_attrs={NUMBER: number},
                    )
                )
            elif number in asked and outcome is not None:
                self.tell(number, outcome)

    def ask(self, number: int) -> Configuration:
        """The next configuration, which gets this number."""
        trial = self._study.ask({key: self._distribution(space) for key, space in self._spaces.items()})
        trial.set_user_attr(NUMBER, number)
        return {key: self._value(key, trial.params[key]) for key in self._spaces}

    def tell(self, number: int, outcome: Outcome) -> None:
        """What a configuration gave; telling it again changes nothing."""
        states = self._optuna.trial.TrialState
        for trial in self._study.get_trials(deepcopy=False):
            if trial.user_attrs.get(NUMBER) == number and not trial.state.is_finished():
                if not isinstance(outcome, str):
                    self._study.tell(trial.number, list(outcome))
                else:
                    single = len(self._study.directions) == 1
                    self._study.tell(trial.number, state=states.PRUNED if outcome == "pruned" and single else states.FAIL)

    def _distribution(self, space: Space) -> Any:
        of = self._optuna.distributions
        if space.values is not None:
            return of.CategoricalDistribution([*range(len(space.values))])
        if space.mean is not None:
            return of.FloatDistribution(0.0, 1.0)
        kind = of.IntDistribution if space.whole else of.FloatDistribution
        return kind(space.low, space.high, log=space.scale == "log")

    def _value(self, key: str, given: Any) -> Any:
        space = self._spaces[key]
        if space.values is not None:
            return space.values[given]
        if space.mean is not None:
            return quantile(space, given)
        return given if space.whole else min(max(float(f"{given:.4g}"), space.low or given), space.high or given)

    def _inverse(self, key: str, value: Any) -> Any:
        space = self._spaces[key]
        if space.values is not None:
            return space.values.index(value)
        if space.mean is not None and space.deviation is not None:
            import math

            scale = math.log if space.scale == "log" else float
            return NormalDist(scale(space.mean), space.deviation).cdf(scale(value))
        return value
