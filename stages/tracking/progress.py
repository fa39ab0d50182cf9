"""How far a training run is, for whoever started it: a file that a sweep's table reads, and its rule for stopping a trial."""

import json
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from stages.runtime.root import PROGRESS


class ProgressFile(TrainerCallback):
    """Appends a JSON line for each log entry: ``step``, ``steps`` of the whole run, ``time``, ``loss``, ``score``.

    Without a file in the environment variable `PROGRESS`, nothing is written.

    Args:
        metric: the validation score that chooses the checkpoint, written as ``score``.
    """

    def __init__(self, metric: str | None = None) -> None:
        self._metric = metric
        self._path = Path(os.environ[PROGRESS]) if PROGRESS in os.environ and os.environ.get("RANK", "0") == "0" else None

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self._append(state, {})

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, logs: Any = None, **kwargs: Any) -> None:
        names = {"loss": "loss"} | ({self._metric: "score"} if self._metric else {})
        self._append(state, {name: float(logs[key]) for key, name in names.items() if key in (logs or {})})

    def _append(self, state: TrainerState, values: dict[str, float]) -> None:
        if self._path is not None:
            line = json.dumps({"step": state.global_step, "steps": state.max_steps, "time": round(time.time(), 1), **values})
            with suppress(OSError), self._path.open("a", encoding="utf-8") as file:  # only watches: it fails no run
                file.write(f"{line}\n")
