"""The process that talks to MLflow, started by `run.Tracker`: JSON lines in, at most one line out, when MLflow fails.

What cannot be delivered is kept and tried again, so a server that comes back gets the whole curve. It ends when it is
told to, or when its stdin ends because the training process died: then the run is KILLED. Nothing of the project is
imported here: it runs as a script.
"""

import fcntl
import json
import os
import select
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

RUN_KEY = "run_key"  # the tag by which a run is found again
RETRY_SECONDS = 10.0
METRICS_A_REQUEST, PARAMS_A_REQUEST = 1000, 100  # MLflow's limits
PARAM_LENGTH = 6000

# MLflow's own defaults wait two minutes for an answer and try eight times; here the backlog is what tries again.
ENVIRONMENT = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_JITTER": "0",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "GIT_PYTHON_REFRESH": "quiet",
}


class Deleted(Exception):
    """MLflow keeps the name of a deleted experiment, and takes no run for it until it is restored."""


class MlflowRun:
    """The run in the store: found by its key or created, then fed in batches. Raises whatever MLflow raises."""

    def __init__(self, spec: dict[str, Any]) -> None:
        from mlflow.tracking import MlflowClient

        local = not spec["uri"].startswith(("http://", "https://"))
        # Two processes that create a database at once crash in its migrations.
        with _locked(Path(spec["folder"])) if local else nullcontext():
            self._client = MlflowClient(tracking_uri=spec["uri"])
            experiment = self._experiment(spec, beside=local and not os.environ.get("MLFLOW_TRACKING_URI"))
            run = self._find(experiment, spec[RUN_KEY]) or self._client.create_run(
                experiment, run_name=spec["name"] or spec[RUN_KEY][:12], tags={RUN_KEY: spec[RUN_KEY]}
            )
        self._id = run.info.run_id
        self._params: dict[str, str] = dict(run.data.params)
        self._client.update_run(self._id, status="RUNNING")
        self.log_tags(spec["tags"])

    def _experiment(self, spec: dict[str, Any], beside: bool) -> str:
        from mlflow.exceptions import MlflowException

        artifacts = (Path(spec["folder"]) / "artifacts").as_uri() if beside else None
        if not (found := self._client.get_experiment_by_name(spec["experiment"])):
            try:
                return str(self._client.create_experiment(spec["experiment"], artifact_location=artifacts))
            except MlflowException:
                # Another process may have made it just now.
                if not (found := self._client.get_experiment_by_name(spec["experiment"])):
                    raise
        if found.lifecycle_stage == "deleted":
            raise Deleted(
                f"the experiment {spec['experiment']!r} was deleted; `mlflow experiments restore --experiment-id {found.experiment_id}` "
                "restores it, or name another in tracking.experiment"
            )
        return str(found.experiment_id)

    def _find(self, experiment: str, run_key: str) -> Any:
        query = f"tags.{RUN_KEY} = '{run_key}'"
        found = self._client.search_runs([experiment], query, max_results=1, order_by=["attributes.start_time DESC"])
        return found[0] if found else None

    def log_tags(self, tags: dict[str, str]) -> None:
        from mlflow.entities import RunTag

        entries = [RunTag(name, str(value)) for name, value in tags.items()]
        for batch in _batches(entries, PARAMS_A_REQUEST):
            self._client.log_batch(self._id, tags=batch)

    def log_params(self, params: dict[str, str]) -> None:
        """MLflow keeps a parameter's first value for ever; a later, other value becomes a tag of the same name."""
        from mlflow.entities import Param

        params = {name: value[:PARAM_LENGTH] for name, value in params.items()}
        entries = [Param(name, value) for name, value in params.items() if name not in self._params]
        for batch in _batches(entries, PARAMS_A_REQUEST):
            self._client.log_batch(self._id, params=batch)
            self._params.update((entry.key, entry.value) for entry in batch)
        self.log_tags({name: value for name, value in params.items() if self._params[name] != value})

    def log_metrics(self, points: list[tuple[str, float, int, int]]) -> None:
        """Log points (name, value, milliseconds since 1970, step). The store keeps one of equal points, so a second
        attempt does no harm."""
        from mlflow.entities import Metric

        for batch in _batches([Metric(*point) for point in points], METRICS_A_REQUEST):
            self._client.log_batch(self._id, metrics=batch)

    def end(self, status: str) -> None:
        self._client.set_terminated(self._id, status)


class Backlog:
    """What the training process sent and MLflow has not got yet."""

    def __init__(self) -> None:
        self.spec: dict[str, Any] | None = None
        self.params: dict[str, str] = {}
        self.points: list[tuple[str, float, int, int]] = []
        self.status: str | None = None

    def add(self, line: bytes) -> None:
        message = json.loads(line)
        self.spec = message.get("open", self.spec)
        self.params |= message.get("params", {})
        self.points += [(name, value, message["time"], message["step"]) for name, value in message.get("metrics", {}).items()]
        self.status = message.get("close", self.status)

    def deliver(self, run: MlflowRun) -> None:
        run.log_metrics(self.points)
        self.points = []
        run.log_params(self.params)
        self.params = {}
        if self.status:
            run.end(self.status)


def serve(inbox: int, outbox: int) -> None:
    """Deliver what comes in on ``inbox`` until it ends; write one line to ``outbox`` the first time that fails."""
    backlog, run, buffer, down, said = Backlog(), None, b"", False, False
    next_try = 0.0
    while True:
        if select.select([inbox], [], [], max(0.0, next_try - time.monotonic()) if down else None)[0]:
            chunk = os.read(inbox, 1 << 20)
            *lines, buffer = (buffer + chunk).split(b"\n")
            for line in lines:
                backlog.add(line)
            if not chunk:
                backlog.status = backlog.status or "KILLED"
        if down and not backlog.status and time.monotonic() < next_try:
            continue
        try:
            if backlog.spec is not None:
                run = run or MlflowRun(backlog.spec)
                backlog.deliver(run)
            down = False
        except Exception as error:
            # Whatever MLflow, its store or the network throws: the training goes on all the same.
            down, next_try = True, time.monotonic() + RETRY_SECONDS
            if not said:
                said = True
                os.write(outbox, _reason(error).encode())
        if backlog.status:
            return


def _reason(error: BaseException) -> str:
    """The innermost cause in one line, which the reader cleans of credentials: MLflow wraps a refused connection in four errors."""
    seen = {id(error)}
    while True:
        nested = error.args[0] if error.args else None
        context = None if error.__suppress_context__ else error.__context__
        inner = error.__cause__ or context or getattr(error, "reason", None) or nested
        if not isinstance(inner, BaseException) or id(inner) in seen:
            break
        error = inner
        seen.add(id(error))
    return " ".join(f"{type(error).__name__}: {error}".split())


def _batches(entries: list[Any], size: int) -> Iterator[list[Any]]:
    for start in range(0, len(entries), size):
        yield entries[start : start + size]


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "mlflow.lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def main() -> None:
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    os.nice(5)  # the training comes first
    answers = os.dup(1)
    os.dup2(2, 1)  # our stderr is /dev/null: so is what MLflow, alembic and git print
    serve(sys.stdin.fileno(), answers)
    os._exit(0)  # everything is delivered; MLflow's own clean-up would only keep `close` waiting


if __name__ == "__main__":
    main()
