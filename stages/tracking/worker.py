"""The process that talks to MLflow or TensorBoard, started by `run.Tracker`: it reads JSON lines from stdin, a growing file.

A failed delivery is retried, so a server that comes back gets the whole curve. If the training process dies, the run's status
becomes KILLED.
"""

import fcntl
import json
import os
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import IO, Any

from tqdm import tqdm

from stages.runtime.credentials import is_address, without_credentials

POLL_SECONDS, RETRY_SECONDS = 0.2, 5.0
Messages = list[dict[str, Any]]
Log = Callable[[Messages, str], None]  # delivers messages and a final status, or ""; may raise anything, may be repeated


def open_mlflow(
    uri: str, experiment: str, run_key: str, name: str | None, tags: dict[str, str], folder: str, parent: str | None = None
) -> Log:
    """Find the run with the tag ``run_key``, or create it; ``folder`` gets the lock under which a local store is created.

    ``parent`` names the run that this one is shown below, such as a sweep's; it is created too.
    """
    from mlflow.entities import Metric, Param, RunTag
    from mlflow.exceptions import MlflowException
    from mlflow.tracking import MlflowClient

    scheme, _, address = uri.partition("?")[0].partition("://")
    if "@" in address and not is_address(f"{scheme}://{address}", (scheme,)):
        raise ValueError("the address is invalid; percent-encode special characters in its user name and password")
    with ExitStack() as stack:
        if scheme not in ("http", "https"):  # two processes that create a database at the same time crash in its migrations
            fcntl.flock(stack.enter_context(Path(folder, "mlflow.lock").open("w")), fcntl.LOCK_EX)
        client: Any = MlflowClient(tracking_uri=uri)
        if not (found := client.get_experiment_by_name(experiment)):
            with suppress(MlflowException):  # another process has just created it
                client.create_experiment(experiment)
            found = client.get_experiment_by_name(experiment)
        if found.lifecycle_stage == "deleted":
            restore = f"`mlflow experiments restore --experiment-id {found.experiment_id}` restores it"
            raise ValueError(f"the experiment {experiment!r} was deleted; {restore}, or name another in tracking.experiment")
        runs = client.search_runs([found.experiment_id], f"tags.run_key = '{run_key}'", max_results=1)
        run = runs[0] if runs else client.create_run(found.experiment_id, run_name=name or run_key[:12], tags={"run_key": run_key})
        if parent:
            tags = tags | {"mlflow.parentRunId": _parent(client, found.experiment_id, parent)}
    run_id, known = run.info.run_id, dict(run.data.params)
    client.update_run(run_id, status="RUNNING")
    client.log_batch(run_id, tags=[RunTag(*tag) for tag in tags.items()])

    def log(messages: Messages, status: str) -> None:
        points = [Metric(name, value, each["time"], each["step"]) for each in messages for name, value in each.get("metrics", {}).items()]
        client.log_batch(run_id, metrics=points)
        params = dict(param for each in messages for param in each.get("params", {}).items())
        client.log_batch(run_id, params=[Param(*param) for param in params.items() if param[0] not in known])
        known.update(params | known)  # MLflow keeps a parameter's first value; a later one becomes a tag of the same name
        client.log_batch(run_id, tags=[RunTag(*param) for param in params.items() if known[param[0]] != param[1]])
        if status:
            client.set_terminated(run_id, status)

    return log


def _parent(client: Any, experiment: str, name: str) -> str:
    """The id of the run with this name that others are shown below. Of two that were created at the same time, all take the older."""
    wanted = f"tags.run_key = '{name}'"
    if not client.search_runs([experiment], wanted, max_results=1):
        client.set_terminated(client.create_run(experiment, run_name=name, tags={"run_key": name}).info.run_id)
    run_id: str = client.search_runs([experiment], wanted, max_results=1, order_by=["attributes.start_time ASC"])[0].info.run_id
    return run_id


def open_tensorboard(folder: str) -> Log:
    """Write event files. transformers' callback would also write local paths, in the training arguments and the model's configuration."""
    from torch.utils.tensorboard import SummaryWriter

    writer: Any = None

    def log(messages: Messages, status: str) -> None:
        nonlocal writer
        for each in messages:
            for name, value in each.get("metrics", {}).items():
                writer = writer or SummaryWriter(folder, purge_step=each["step"])  # drop what a killed run logged after its last checkpoint
                writer.add_scalar(name, value, each["step"], each["time"] / 1000)
                writer.flush()

    return log


def serve(parent: int, spec: dict[str, Any], terminal: IO[str]) -> None:
    """Deliver what process ``parent`` writes until it closes the run or dies; print only the first failure, as one line on ``terminal``."""
    waiting: Messages = []
    log, rest, status, said = None, b"", "", False
    while not status:
        gone = os.getppid() != parent  # before reading, so that its last lines are read too
        *lines, rest = (rest + sys.stdin.buffer.read()).split(b"\n")
        waiting += map(json.loads, lines)
        status = next((each["close"] for each in waiting if "close" in each), "KILLED" if gone else "")
        try:
            if log is None:
                folder = spec["uri"].removeprefix("tensorboard:")
                log = open_mlflow(**spec) if folder == spec["uri"] else open_tensorboard(folder)
            log(waiting, status)
            waiting, pause = [], POLL_SECONDS
        except Exception as error:  # of MLflow, its store or the network
            pause = RETRY_SECONDS
            if not said:
                say(spec["uri"], error, terminal)
            said = True
        time.sleep(0 if status else pause)


def say(uri: str, error: BaseException, file: IO[str] | None = None) -> None:
    """Print the innermost cause, without credentials, as one line; MLflow wraps a refused connection in four errors."""
    while inner := error.__cause__ or error.__context__:
        error = inner
    reason = without_credentials(f"{type(error).__name__}: {error}")[:300]
    line = f"tracking: {without_credentials(uri)}: {reason}; the run continues without it"
    with suppress(OSError, ValueError):  # stderr may be closed
        tqdm.write(" ".join(line.split()), file=file or sys.stderr)


if __name__ == "__main__":
    # MLflow itself waits two minutes for an answer and tries eight times
    for setting in ("MLFLOW_HTTP_REQUEST_TIMEOUT=10", "MLFLOW_HTTP_REQUEST_MAX_RETRIES=0", "MLFLOW_DISABLE_TELEMETRY=true"):
        os.environ.setdefault(*setting.split("="))
    os.nice(5)  # training has priority
    messages = os.fdopen(os.dup(2), "w", buffering=1)
    os.dup2(1, 2)  # to stdout, which is /dev/null: what MLflow, alembic and git print
    serve(int(sys.argv[1]), json.loads(sys.stdin.buffer.readline()), messages)
    os._exit(0)  # everything is delivered; MLflow's clean-up would only delay `Tracker.close`
