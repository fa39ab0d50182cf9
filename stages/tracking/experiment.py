"""What one run of the pipeline is, to those who watch: its MLflow run, its git commit, its DVC experiment."""

import os

from stages.config.own_paths import root
from stages.config.params import read_resolved
from stages.tracking import Tracker, git_state, open_run

GENERATED = ("resolved", "metrics", "dvc.lock")  # tracked files that the pipeline itself rewrites: no sign of changed code


def commit() -> dict[str, str]:
    """``git_commit`` and ``git_dirty`` ("true" or "false") of the code that runs; empty outside a repository."""
    return git_state(generated=GENERATED)


def open_tracker(fingerprint: str) -> Tracker:
    """The MLflow run of the training known by ``fingerprint``, with its parameters; training and evaluation write into the same one."""
    trained = read_resolved("train")
    tracking = trained.pop("tracking")
    for other in ("upload", "running"):  # no part of what the training is
        trained.pop(other, None)
    name = os.environ.get("DVC_EXP_NAME")
    tags = {"architecture": trained["architecture"], "profile": trained["profile"], **commit()}
    tracker = open_run(
        mlflow=tracking["mlflow"],
        experiment=tracking["experiment"],
        run_key=fingerprint,
        name=name,
        tags=tags | ({"dvc_experiment": name} if name else {}),
        folder=root(),
    )
    tracker.params(trained)
    return tracker
