"""Choose the best checkpoint by its scores on retrieval sets, and end training early if the scores stop improving.

The decisions depend only on the trainer's log, which is in every checkpoint: a resumed run decides as an uninterrupted one.

A CSR model starts as an encoder that needs no training, the control (`stages.encoders.csr`). A step is better than that only if it is not
worse at any number of active dimensions (`GAIN`); if no step is, the control is kept.
"""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sentence_transformers import SparseEncoder
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from stages.encoders.active_dims import BaseVectors, autoencoder_of
from stages.encoders.fast.full_float32 import full_float32
from stages.retrieval.scores import CORPUS_DIMS, NANO_MEAN, NDCG, QUERY_DIMS
from stages.retrieval.scoring import evaluate
from stages.retrieval.sets import RetrievalSet
from stages.retrieval.treatment import UNTREATED, Treatment
from stages.runtime.errors import UserError

PREFIX = "eval_"
MEAN = f"{PREFIX}mean_{NDCG}"
GAIN = f"{PREFIX}gain_{NDCG}"
"""Of a CSR model: nDCG@10 minus the control's, averaged over the numbers of active dimensions, or, if it is negative at one, the lowest."""

History = Sequence[Mapping[str, Any]]
"""transformers' log_history: one mapping per logged entry, with its ``step``."""


@dataclass
class Validation:
    """What chooses the best checkpoint.

    Attributes:
        sets: the retrieval sets.
        eval_steps: steps between evaluations; the last step is evaluated too.
        batch_size: texts encoded at once.
        metric: one of `metric_names`; None means the first.
        treatment: of long documents and of vectors, as in the evaluation.
        patience: training ends after this many evaluations without a new best; None disables that.
        active_dims: of a CSR model, its k and the other numbers at which it must not be worse than the control.
        control: its nDCG@10 at each of these numbers, from `start` on.
    """

    sets: Sequence[RetrievalSet]
    eval_steps: int
    batch_size: int
    metric: str | None = None
    patience: int | None = None
    treatment: Treatment = UNTREATED
    active_dims: Sequence[int] = ()
    control: dict[int, float] = field(default_factory=dict, init=False)
    _vectors: list[BaseVectors] = field(default_factory=list, init=False, repr=False)

    def __post_init__(self) -> None:
        names = self.metric_names()
        if self.metric and self.metric not in names:
            raise UserError(f"training.metric_for_best_model: must be one of {', '.join(names)}, got {self.metric}")

    @property
    def decisive(self) -> str:
        """The metric that chooses the checkpoint."""
        return self.metric or self.metric_names()[0]

    def metric_names(self) -> list[str]:
        """The metrics to choose from, all nDCG@10: csr's `GAIN`, NanoBEIR's mean if a set has its format, the mean, that of each set."""
        first = [GAIN] if self.active_dims else []
        first += [f"{PREFIX}{NANO_MEAN}"] if any(each.nano for each in self.sets) else []
        return [*first, MEAN, *(f"{PREFIX}{each.name}_{NDCG}" for each in self.sets)]

    def labels(self) -> dict[str, str]:
        """`metric_names` but `GAIN`, each with what its score is a mean of."""
        counts = [f"NanoBEIR mean, n = {nano} sets"] if (nano := sum(each.nano for each in self.sets)) else []
        counts += [f"mean, n = {len(self.sets)} sets", *(f"{each.name}, n = {len(each.queries)} queries" for each in self.sets)]
        return dict(zip([name for name in self.metric_names() if name != GAIN], counts, strict=True))

    def start(self, model: SparseEncoder) -> None:
        """Score a CSR model before its first step: the control. Its base, which training does not change, encodes the sets only here."""
        with full_float32():
            self._vectors = [BaseVectors.of(model, each, self.batch_size, self.treatment) for each in self.sets]
            self.control = {number: _mean(scores) for number, scores in self._by_dims(model).items()}

    def _by_dims(self, model: SparseEncoder) -> dict[int, list[float]]:
        """The nDCG@10 of a CSR model on each set, by number of active dimensions."""
        return {number: [vectors.ndcg(model, number) for vectors in self._vectors] for number in self.active_dims}

    def _gain(self, by_dims: Mapping[int, Sequence[float]]) -> float:
        gains = [_mean(by_dims[number]) - control for number, control in self.control.items()]
        return min(gains) if min(gains) < 0 else _mean(gains)

    def score(self, model: SparseEncoder) -> dict[str, float]:
        """The log entry of one evaluation: `metric_names` and, but for csr, the mean active dimensions of queries and documents.

        In float32, like the finished model's evaluation, even if training is in mixed precision.
        """
        plain = copy.copy(model)
        plain.__dict__.pop("forward", None)  # accelerate's mixed-precision wrapper around the class's
        line: dict[str, float] = {}
        with full_float32():
            if self.control and (autoencoder := autoencoder_of(plain)):
                by_dims = self._by_dims(plain)
                results = [{NDCG: ndcg} for ndcg in by_dims[autoencoder.k]]
                line[GAIN] = self._gain(by_dims)
            else:
                results = [evaluate(plain, each, self.batch_size, self.treatment).metrics for each in self.sets]
        line |= {f"{PREFIX}{each.name}_{NDCG}": metrics[NDCG] for each, metrics in zip(self.sets, results, strict=True)}
        means = [key for key in (NDCG, QUERY_DIMS, CORPUS_DIMS) if key in results[0]]
        line |= {f"{PREFIX}mean_{key}": _mean([metrics[key] for metrics in results]) for key in means}
        if nano := [metrics[NDCG] for each, metrics in zip(self.sets, results, strict=True) if each.nano]:
            line[f"{PREFIX}{NANO_MEAN}"] = _mean(nano)
        return line

    def best_step(self, history: History) -> int | None:
        """The step with the highest score so far, the earliest of equals; None before the first evaluation.

        Step 0 is the control: its gain over itself is 0.
        """
        scored = self._scored(history)
        return max(scored, key=lambda step: (scored[step], -step), default=None)

    def exhausted(self, history: History) -> bool:
        """Whether none of the last ``patience`` evaluations gave a new best."""
        steps = sorted(self._scored(history))
        best = self.best_step(history)
        return self.patience is not None and best is not None and len(steps) - 1 - steps.index(best) >= self.patience

    def _scored(self, history: History) -> dict[int, float]:
        scored = {int(entry["step"]): float(entry[self.decisive]) for entry in history if self.decisive in entry}
        return {0: 0.0} | scored if scored and self.decisive == GAIN else scored

    def foreign(self, languages: Sequence[str]) -> str | None:
        """A one-line warning if no set is known to be in one of the training ``languages``; else None."""
        if not languages or any(each.entry == "dev" or each.language in languages for each in self.sets):
            return None
        spoken = ", ".join(f"{each.name} ({each.language or 'language unknown'})" for each in self.sets)
        return (
            f"training.eval_sets: no set is in a training language ({', '.join(languages)}): {spoken}; the checkpoint that is chosen "
            "may be the best one for another language; use dev, or a set in a training language"
        )


class SelectionCallback(TrainerCallback):
    """Saves a checkpoint at every evaluated step, so that the best one exists, and ends training when patience runs out."""

    def __init__(self, validation: Validation) -> None:
        self._validation = validation

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> TrainerControl:
        control.should_save = True
        if self._validation.exhausted(state.log_history):
            control.should_training_stop = True
        return control


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
