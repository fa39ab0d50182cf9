"""What a person sees while a model trains: one bar with the time left or, if stderr is no terminal, a line at each tenth of the run."""

import sys
import time
from collections.abc import Mapping
from typing import Any

from tqdm import tqdm
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

SHOWN = {"loss": "loss {:.3g}", "query_active_dims": "query dims {:.0f}", "document_active_dims": "document dims {:.0f}"}
SHOWN |= {"dead_latents": "dead latents {:.0%}"}
LINES = 10


class Progress(TrainerCallback):
    """Shows the step, the time left and what was logged last; it must come after `SparsityCallback`, which adds to the log.

    Args:
        metric: a validation score to show too.
    """

    def __init__(self, metric: str | None = None) -> None:
        self._shown = SHOWN | ({metric: "nDCG@10 {:.3f}"} if metric else {})
        self._logged: dict[str, float] = {}
        self._bar: tqdm[Any] | None = None
        self._first_step = self._printed = 0
        self._start = 0.0

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        form = "{desc}: {percentage:3.0f}%|{bar}| step {n_fmt} of {total_fmt}, {remaining} left{postfix}"
        self._bar = tqdm(
            total=state.max_steps, initial=state.global_step, desc="train", bar_format=form, leave=False, dynamic_ncols=True, disable=None
        )
        self._first_step, self._start = state.global_step, time.monotonic()
        self._printed = LINES * state.global_step // state.max_steps

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if self._bar is not None:
            self._bar.update()

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, logs: Any = None, **kwargs: Any) -> None:
        self._logged |= {name: value for name, value in (logs or {}).items() if name in self._shown}
        if self._bar is None:
            return
        values = describe(self._logged, self._shown)
        if not self._bar.disable:
            self._bar.set_postfix_str(values, refresh=False)
        elif (tenth := LINES * state.global_step // state.max_steps) > self._printed:
            self._printed = tenth
            a_step = (time.monotonic() - self._start) / (state.global_step - self._first_step)
            left = tqdm.format_interval(a_step * (state.max_steps - state.global_step))
            print(f"train: step {state.global_step} of {state.max_steps}, {left} left, {values}", file=sys.stderr, flush=True)

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self.close()

    def close(self) -> None:
        """Remove the bar; after an error or Ctrl-C the trainer does not."""
        if self._bar is not None:
            self._bar.close()
        self._bar = None


def describe(logged: Mapping[str, float], shown: Mapping[str, str] = SHOWN) -> str:
    """The logged values in the order and format of ``shown``.

    >>> describe({"epoch": 0.5, "document_active_dims": 16.3, "loss": 0.12345})
    'loss 0.123, document dims 16'
    """
    return ", ".join(form.format(logged[name]) for name, form in shown.items() if name in logged)
