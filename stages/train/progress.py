"""The progress of a training run: one bar with the time left or, if stderr is not a terminal, a line at each tenth of the run."""

import io
import math
import sys
from collections.abc import Mapping
from typing import Any

from tqdm import tqdm
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from stages.train.selection import GAIN

SHOWN = {
    "loss": "loss {:.3g}",
    "query_active_dims": "query dims {:.0f}",
    "document_active_dims": "document dims {:.0f}",
    "dead_latents": "dead latents {:.0%}",
}
LINE = "{desc}: step {n_fmt} of {total_fmt}, {remaining} left{postfix}"
BAR = LINE.replace(": ", ": {percentage:3.0f}%|{bar}| ")
UNSEEN: dict[str, Any] = {"mininterval": math.inf, "maxinterval": math.inf}


class Progress(TrainerCallback):
    """Shows the step, the time left and what was logged last; it must come after `SparsityCallback`, which adds to the log.

    Args:
        metric: a validation score to show too.
    """

    def __init__(self, metric: str | None = None) -> None:
        self._shown = SHOWN | ({metric: "gain {:+.3f}" if metric == GAIN else "nDCG@10 {:.3f}"} if metric else {})
        self._logged: dict[str, float] = {}
        self._bar: tqdm[Any] | None = None
        self._terminal, self._tenth = False, 0

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self._tenth = 10 * state.global_step // state.max_steps
        self._terminal = sys.stderr.isatty()
        self._bar = tqdm(
            total=state.max_steps, initial=state.global_step, desc="train", leave=False, dynamic_ncols=True,
            bar_format=BAR if self._terminal else LINE, **({} if self._terminal else {**UNSEEN, "file": io.StringIO()}),
        )  # fmt: skip

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if self._bar is not None:
            self._bar.update()

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, logs: Any = None, **kwargs: Any) -> None:
        self._logged |= {name: value for name, value in (logs or {}).items() if name in self._shown}
        if self._bar is not None:
            self._bar.set_postfix_str(describe(self._logged, self._shown), refresh=False)
            before, self._tenth = self._tenth, 10 * state.global_step // state.max_steps
            if not self._terminal and self._tenth > before:
                print(self._bar, file=sys.stderr, flush=True)

    def close(self) -> None:
        """Remove the bar."""
        if self._bar is not None:
            self._bar.close()
        self._bar = None


def describe(logged: Mapping[str, float], shown: Mapping[str, str] = SHOWN) -> str:
    """The logged values in the order and format of ``shown``.

    >>> describe({"epoch": 0.5, "document_active_dims": 16.3, "loss": 0.12345})
    'loss 0.123, document dims 16'
    """
    return ", ".join(form.format(logged[name]) for name, form in shown.items() if name in logged)
