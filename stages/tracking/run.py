"""The pipeline's side of tracking: a `Tracker` appends JSON lines to a file for another process (`worker`) without waiting for it.

In this process MLflow would draw from Python's random generator, wait for an unreachable server, and take three to four seconds to start.
"""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO, Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from stages.config.params import read_resolved
from stages.runtime.root import SWEEP, root
from stages.tracking.git import git_state
from stages.tracking.worker import say

CLOSE_SECONDS = {"FINISHED": 60.0, "FAILED": 60.0, "KILLED": 3.0}  # after Ctrl-C the user wants the terminal back


class Tracker(TrainerCallback):
    """One run in one store: logs what it is given, and what a trainer logs. No method raises, and all but `close` return at once.

    ``uri`` is MLflow's store, or tensorboard:FOLDER for event files. Nothing is tracked if it is None, or if RANK is not 0.
    ``about``: further arguments of `worker.open_mlflow`.
    """

    def __init__(self, uri: str | None, **about: Any) -> None:
        self._uri = str(uri)
        self._lines: IO[bytes] | None = None
        self._worker: subprocess.Popen[bytes] | None = None
        if uri is None or os.environ.get("RANK", "0") != "0":
            return
        with self._harmless(), NamedTemporaryFile() as named, Path(named.name).open("rb") as reader:
            self._lines = Path(named.name).open("ab", buffering=0)  # noqa: SIM115
            self._write({"uri": uri, **about})
            command = [sys.executable, "-m", "stages.tracking.worker", str(os.getpid())]
            # A session of its own: Ctrl-C ends training, and the worker can still report that to MLflow.
            self._worker = subprocess.Popen(command, stdin=reader, stdout=subprocess.DEVNULL, start_new_session=True)

    def params(self, values: Mapping[str, Any]) -> None:
        """Log parameters; names in nested mappings are joined by dots."""
        with self._harmless():
            self._write({"params": {name: str(value) for name, value in flatten(values).items()}})

    def metrics(self, values: Mapping[str, Any], step: int = 0) -> None:
        """Log the numbers among ``values``; names in nested mappings are joined by dots, `ndcg@10` becomes `ndcg_at_10`."""
        with self._harmless():
            self._write({"metrics": numbers(values), "step": step, "time": time.time_ns() // 1_000_000})

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, logs: Any = None, **kwargs: Any) -> None:
        self.metrics(logs or {}, state.global_step)

    def close(self, status: str = "FINISHED") -> None:
        """Deliver the rest and end the run with ``status``, FINISHED, FAILED or KILLED, within `CLOSE_SECONDS`."""
        with self._harmless():
            if self._worker is not None:
                self._write({"close": status})
                with suppress(subprocess.TimeoutExpired):
                    self._worker.wait(CLOSE_SECONDS[status])
                if (code := self._worker.poll()) or (code is None and status != "KILLED"):
                    raise TimeoutError(f"no answer within {CLOSE_SECONDS[status]:.0f} s" if code is None else "the process ended early")
            self._worker = self._lines = None

    def __enter__(self) -> "Tracker":
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        failed = "KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED"
        self.close(failed if error and getattr(error, "code", 1) else "FINISHED")  # sys.exit(0) is not a failure

    def _write(self, message: dict[str, Any]) -> None:
        if self._lines is not None:
            self._lines.write(json.dumps(message).encode() + b"\n")

    @contextmanager
    def _harmless(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # not even a bug in tracking may fail the run
            say(self._uri, error)
            if self._worker is not None:
                self._worker.kill()
            self._worker = self._lines = None


def store_uri(folder: Path) -> str:
    """MLFLOW_TRACKING_URI if set, else a SQLite database in ``folder``."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{folder.resolve() / 'mlflow.db'}"


def open_tracker(fingerprint: str) -> Tracker:
    """The MLflow run of the training run with this ``fingerprint``, shared by training and evaluation; logs the parameters."""
    trained = {key: values for key, values in read_resolved("train").items() if key not in ("upload", "running")}
    tracking, name = trained.pop("tracking"), os.environ.get("DVC_EXP_NAME")
    tags = {"architecture": trained["architecture"], "profile": trained["profile"], **git_state()}
    tags |= {"dvc_experiment": name} if name else {}
    about = {"experiment": tracking["experiment"], "run_key": fingerprint, "name": name, "tags": tags, "folder": str(root().resolve())}
    uri = store_uri(root()) if tracking["mlflow"] else None
    tracker = Tracker(uri, **about, parent=os.environ.get(SWEEP))
    tracker.params(trained)
    return tracker


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one, with names joined by dots; `@` becomes `_at_`, other characters that MLflow may refuse `_`.

    >>> flatten({"loss": {"weight": 0.1}, "mean": {"ndcg@10": 0.7}})
    {'loss.weight': 0.1, 'mean.ndcg_at_10': 0.7}
    """
    flat: dict[str, Any] = {}
    for key, value in values.items():
        name = re.sub(r"[^\w\-. :]", "_", f"{prefix}{key}".replace("@", "_at_"), flags=re.ASCII)[:250]
        flat |= flatten(value, f"{name}.") if isinstance(value, Mapping) else {name: value}
    return flat


def numbers(values: Mapping[str, Any]) -> dict[str, float]:
    """The numbers among nested ``values``, NumPy's and one-element tensors included, flattened."""
    found = {}
    for name, value in flatten(values).items():
        if not isinstance(value, bool | str):
            with suppress(TypeError, ValueError, RuntimeError):  # None, a list, a tensor of several elements
                found[name] = float(value)
    return found
