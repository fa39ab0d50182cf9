"""The best checkpoint wins: scores on retrieval sets while training, the checkpoint that had the highest, an early end where none comes.

All that decides is read from the trainer's log, which every checkpoint carries: a resumed training decides as one never interrupted.
"""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sentence_transformers import SparseEncoder
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from stages.encoders.fast.full_float32 import full_float32
from stages.retrieval.scores import CORPUS_DIMS, NANO_MEAN, NDCG, QUERY_DIMS
from stages.retrieval.scoring import evaluate
from stages.retrieval.sets import RetrievalSet
from stages.runtime.errors import UserError

PREFIX = "eval_"
MEAN = f"{PREFIX}mean_{NDCG}"

History = Sequence[Mapping[str, Any]]
"""transformers' log_history: one mapping a logged line, with its ``step``."""


@dataclass
class Validation:
    """What chooses the best checkpoint.

    Attributes:
        sets: the retrieval sets.
        eval_steps: steps between two evaluations; the last step is evaluated too.
        batch_size: texts encoded at once.
        metric: one of `metric_names`; None means the first of them.
        patience: evaluations without a new best after which training ends; None never.
    """

    sets: Sequence[RetrievalSet]
    eval_steps: int
    batch_size: int
    metric: str | None = None
    patience: int | None = None

    def __post_init__(self) -> None:
        names = self.metric_names()
        if self.metric and self.metric not in names:
            raise UserError(f"training.metric_for_best_model: is {self.metric}, which nothing here gives; use one of {', '.join(names)}")

    @property
    def decisive(self) -> str:
        """The metric that chooses."""
        return self.metric or self.metric_names()[0]

    def metric_names(self) -> list[str]:
        """The metrics that can choose, all of nDCG@10: NanoBEIR's mean where a set is of its form, the mean, each set's."""
        nano = [f"{PREFIX}{NANO_MEAN}"] if any(each.nano for each in self.sets) else []
        return [*nano, MEAN, *(f"{PREFIX}{each.name}_{NDCG}" for each in self.sets)]

    def score(self, model: SparseEncoder) -> dict[str, float]:
        """The log line of one evaluation: `metric_names` and the mean active dimensions of queries and documents.

        In float32, as the finished model is scored, also where training is in mixed precision.
        """
        plain = copy.copy(model)
        plain.__dict__.pop("forward", None)  # accelerate's, which wraps the class's for mixed precision
        with full_float32():
            results = [evaluate(plain, each, batch_size=self.batch_size).metrics for each in self.sets]
        line = {f"{PREFIX}{each.name}_{NDCG}": metrics[NDCG] for each, metrics in zip(self.sets, results, strict=True)}
        line |= {f"{PREFIX}mean_{key}": _mean([metrics[key] for metrics in results]) for key in (NDCG, QUERY_DIMS, CORPUS_DIMS)}
        if nano := [metrics[NDCG] for each, metrics in zip(self.sets, results, strict=True) if each.nano]:
            line[f"{PREFIX}{NANO_MEAN}"] = _mean(nano)
        return line

    def best_step(self, history: History) -> int | None:
        """The step of the highest score so far, the first of equals; None before the first evaluation."""
        scored = self._scored(history)
        return max(scored, key=lambda step: (scored[step], -step), default=None)

    def exhausted(self, history: History) -> bool:
        """Whether the last ``patience`` evaluations all brought no new best."""
        steps = sorted(self._scored(history))
        best = self.best_step(history)
        return self.patience is not None and best is not None and len(steps) - 1 - steps.index(best) >= self.patience

    def _scored(self, history: History) -> dict[int, float]:
        return {int(entry["step"]): float(entry[self.decisive]) for entry in history if self.decisive in entry}

    def foreign(self, languages: Sequence[str]) -> str | None:
        """A warning, in one line, where no set is known to be in one of the training ``languages``; else None."""
        if not languages or any(each.entry == "dev" or each.language in languages for each in self.sets):
            return None
        spoken = ", ".join(f"{each.name} ({each.language or 'its language is not given'})" for each in self.sets)
        return (
            f"training.eval_sets: no set is in a training language ({', '.join(languages)}): {spoken}; the best checkpoint is chosen "
            "for another language: use dev, or a set in one of them"
        )


class SelectionCallback(TrainerCallback):
    """Every evaluated step becomes a checkpoint, so that the best one is there to go back to; ends training when patience does."""

    def __init__(self, validation: Validation) -> None:
        self._validation = validation

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> TrainerControl:
        control.should_save = True
        if self._validation.exhausted(state.log_history):
            control.should_training_stop = True
        return control


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
