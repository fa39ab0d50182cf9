"""What listens to a transformers Trainer: one callback for `Tracker`, one for TensorBoard."""

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tqdm import tqdm
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from stages.tracking.values import numbers


class LogCallback(TrainerCallback):
    """Calls ``log(values, step)`` with whatever the trainer logs, in the first process only."""

    def __init__(self, log: Callable[[Mapping[str, Any], int], None]) -> None:
        self._log = log

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        if logs and state.is_world_process_zero:
            self._log(logs, state.global_step)


class TensorBoardCallback(LogCallback):
    """Writes what the trainer logs to event files in ``folder``, under the same names as MLflow's metrics.

    Unlike transformers' callback of this name it cannot fail the run, and writes neither the training arguments nor the
    model's configuration, which hold local paths. A resumed training hides what its predecessor logged after the
    checkpoint.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(self._write)
        self._folder = folder
        self._writer: Any = None
        self._opened = self._broken = False

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        with self._harmless():
            if self._writer is not None:
                self._writer.close()
                self._writer = None

    def _write(self, values: Mapping[str, Any], step: int) -> None:
        with self._harmless():
            if self._broken:
                return
            if self._writer is None:
                from torch.utils.tensorboard import SummaryWriter

                # What an earlier, interrupted training logged from here on is hidden; what this one logged stays.
                self._writer = SummaryWriter(str(self._folder), purge_step=None if self._opened else step)
                self._opened = True
            for name, value in numbers(values).items():
                self._writer.add_scalar(name, value, step)
            self._writer.flush()  # an interrupted run keeps its curve

    @contextmanager
    def _harmless(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # a watcher may not fail what it watches: a full disk, a folder that is a file
            if not self._broken:
                reason = f"{type(error).__name__}: {error}"
                line = f"tracking: TensorBoard at {self._folder}: {reason}; the run goes on without it"
                with suppress(OSError, ValueError):
                    tqdm.write(" ".join(line.split()), file=sys.stderr)
            self._broken, self._writer = True, None
