"""The training process's end of tracking: a `Tracker` that hands everything to the worker and never waits for it."""

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from stages.runtime.credentials import is_address, without_credentials
from stages.tracking import worker
from stages.tracking.values import flatten, numbers

if TYPE_CHECKING:
    from transformers import TrainerCallback

FINISHED, FAILED, KILLED = "FINISHED", "FAILED", "KILLED"
CLOSE_SECONDS = 60.0  # how long `close` waits at most; the worker gives a silent server up after 10 to 20 seconds
REASON = 300  # characters of what MLflow says that are passed on
KILLED_CLOSE_SECONDS = 3.0  # somebody who pressed Ctrl-C wants the terminal back; the worker may finish alone


def store_uri(folder: Path) -> str:
    """MLFLOW_TRACKING_URI where the user set it, else a SQLite database in ``folder``."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{folder.resolve() / 'mlflow.db'}"


def open_run(*, mlflow: bool, experiment: str, run_key: str, name: str | None, tags: Mapping[str, str], folder: Path) -> "Tracker":
    """Begin to track the run known by ``run_key``: the one that bears this key in the experiment, or else a new one.

    ``run_key`` identifies the training (a fingerprint), so that a resumed training and the later evaluation write into
    the same run. ``folder`` holds the local store, `mlflow.db` with its artifacts beside it, unless MLFLOW_TRACKING_URI
    names another. Nothing is tracked without ``mlflow``, nor in any but the first of several training processes (RANK).
    Never raises, returns at once.
    """
    tracker = Tracker(store_uri(folder))
    if mlflow and os.environ.get("RANK", "0") == "0":
        tracker.start(experiment=experiment, run_key=run_key, name=name, tags=dict(tags), folder=str(folder.resolve()))
    return tracker


class Tracker:
    """One run as MLflow sees it. Every method returns at once (`close` after a bounded wait), and none raises.

    As a context manager it closes the run with the status that fits: FINISHED, KILLED after Ctrl-C, FAILED after any
    other exception.
    """

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._worker: subprocess.Popen[bytes] | None = None
        self._unsent = bytearray()
        self._said = False

    def start(self, **run: Any) -> None:
        """Start the worker; ``run`` is what it has to know about the run."""
        address = self._uri.partition("?")[0]
        if "@" in address and not is_address(address, (address.partition("://")[0],)):
            self._say("the address cannot be read; percent-encode special characters in its user and password")
            return
        with self._harmless():
            # A session of its own: Ctrl-C ends the training, and the worker can still say so to MLflow.
            self._worker = subprocess.Popen(
                [sys.executable, "-P", str(worker.__file__)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                bufsize=0,
                start_new_session=True,
            )
            for pipe in (self._worker.stdin, self._worker.stdout):
                assert pipe is not None
                os.set_blocking(pipe.fileno(), False)
            self._send({"open": {"uri": self._uri, **run}})

    def params(self, values: Mapping[str, Any]) -> None:
        """Log parameters; nested mappings get dotted names."""
        with self._harmless():
            self._send({"params": {name: str(value) for name, value in flatten(values).items()}})

    def metrics(self, values: Mapping[str, Any], step: int | None = None) -> None:
        """Log the numbers among ``values``: nested mappings get dotted names, `ndcg@10` becomes `ndcg_at_10`."""
        with self._harmless():
            self._send({"metrics": numbers(values), "step": step or 0, "time": time.time_ns() // 1_000_000})

    def callback(self) -> "TrainerCallback":
        """A callback that hands on what the trainer logs (losses, learning rate, evaluation scores) with its step."""
        from stages.tracking.callbacks import LogCallback

        return LogCallback(self.metrics)

    def close(self, status: str = FINISHED) -> None:
        """Deliver what is left and end the run with ``status``; a second call does nothing."""
        with self._harmless():
            if self._worker is not None:
                self._send({"close": status})
                if not self._finished(KILLED_CLOSE_SECONDS if status == KILLED else CLOSE_SECONDS):
                    if status == KILLED:
                        self._worker = None
                    else:
                        self._say(f"no answer within {CLOSE_SECONDS:.0f} s")
        self._end_worker()

    def __enter__(self) -> "Tracker":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if isinstance(error, KeyboardInterrupt):
            self.close(KILLED)
        else:
            self.close(FINISHED if error is None or (isinstance(error, SystemExit) and not error.code) else FAILED)

    def _send(self, message: dict[str, Any]) -> None:
        if self._worker is not None:
            self._unsent += json.dumps(message).encode() + b"\n"
            self._pump()
            self._listen()

    def _pump(self) -> None:
        """Write as much as the pipe takes; the rest waits here for the next call."""
        assert self._worker is not None and self._worker.stdin is not None
        try:
            while self._unsent:
                del self._unsent[: os.write(self._worker.stdin.fileno(), bytes(self._unsent))]
        except BlockingIOError:
            pass
        except BrokenPipeError:
            self._lost()

    def _listen(self) -> None:
        """Pass on what the worker has to say: nothing, or one line."""
        if self._worker is not None and self._worker.stdout is not None and (line := self._worker.stdout.read()):
            self._say(line.decode(errors="replace").strip())

    def _finished(self, seconds: float) -> bool:
        """Whether the worker has read everything and ended, waiting for it at most ``seconds``."""
        deadline = time.monotonic() + seconds
        while self._unsent and self._worker is not None and (left := deadline - time.monotonic()) > 0:
            assert self._worker.stdin is not None
            select.select([], [self._worker.stdin], [], left)
            self._pump()
        if self._worker is not None:
            try:
                status = self._worker.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                return False
            self._listen()
            if status:
                self._lost()
        return True

    def _lost(self) -> None:
        """The worker ended before its time; it says why, unless it could not."""
        self._listen()
        self._say("the tracking process ended early")
        self._end_worker()

    def _end_worker(self) -> None:
        process, self._worker = self._worker, None
        self._unsent.clear()
        if process is not None:
            with suppress(OSError, subprocess.SubprocessError):
                process.kill()
                process.wait(1)
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()

    def _say(self, reason: str) -> None:
        if not self._said:
            self._said = True
            place, reason = without_credentials(self._uri), without_credentials(reason)[:REASON]
            line = f"tracking: MLflow at {place}: {reason}; the run goes on without it"
            with suppress(OSError, ValueError):  # stderr may be closed
                tqdm.write(" ".join(line.split()), file=sys.stderr)  # not into the middle of a progress bar

    @contextmanager
    def _harmless(self) -> Iterator[None]:
        """Stop tracking, and say so, when anything at all goes wrong inside."""
        try:
            yield
        except Exception as error:
            # As broad as can be: a watcher may not fail what it watches, not even by a bug of its own.
            self._say(f"{type(error).__name__}: {error}")
            self._end_worker()
