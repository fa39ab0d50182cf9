"""`modal run --detach stages/commands/modal_app.py --params "architecture=csr training.max_steps=1000"` trains one model on Modal.

It is a sweep of one trial: the checkout goes along as it is, and the experiment comes back with `nordic-sparse modal fetch`. docs/cloud.md.
"""

import hashlib
import json
import shlex
import sys
from dataclasses import asdict
from pathlib import Path

# `modal run FILE` puts FILE's folder first on the path, where the other commands would shadow packages of their names.
sys.path[:] = [entry for entry in sys.path if Path(entry).resolve() != Path(__file__).resolve().parent]

from stages.config.cloud import assigned  # noqa: E402
from stages.launchers.container import job_of  # noqa: E402
from stages.launchers.modal_cloud import app, fetch_records, modal_errors, options, train, upload_code  # noqa: E402
from stages.runtime.errors import MISTAKE, UserError  # noqa: E402
from stages.sweeps.base import identity, snapshot  # noqa: E402
from stages.sweeps.clone import run_git  # noqa: E402
from stages.sweeps.state import Sweep, Trial  # noqa: E402

SWEEPS = Path("sweeps")
SOLE = {"method": "grid", "parameters": {}, "seeds": [0]}  # a sweep file that is never read for its trials


@app.local_entrypoint()
def main(params: str = "", name: str = "") -> None:
    """Train one model on Modal as a DVC experiment.

    ``params``: settings as for `dvc exp run -S`, with spaces between them, and those of modal.*. ``name``: of the experiment; by default
    equal settings and files have an equal name, so that the same command resumes what it started.
    """
    try:
        train_one(params, name)
    except UserError as error:
        for line in str(error).splitlines():
            print(f"error: {line}", file=sys.stderr)
        sys.exit(MISTAKE)


def train_one(params: str, name: str) -> None:
    settings, changed = assigned(shlex.split(params))
    commit = snapshot("modal")
    files = run_git(Path(), "rev-parse", f"{commit}^{{tree}}", f"{commit}^")
    name = name or f"modal-{hashlib.sha256(f'{files}{json.dumps(changed, sort_keys=True)}'.encode()).hexdigest()[:8]}"
    run_git(Path(), "update-ref", f"refs/sweeps/{name}", commit)
    sweep = Sweep(SWEEPS / name)
    sweep.begin(commit=commit, identity=identity(), file=SOLE)
    trial = sweep.add(Trial(0, 0, changed))
    experiment = sweep.experiment(trial.number)
    with modal_errors():
        upload_code(Path(), f"refs/sweeps/{name}", commit)
        call = train.with_options(**options(settings)).spawn(asdict(job_of(sweep, trial.number)))
        print(f"{experiment}: started; `nordic-sparse modal fetch {experiment}` brings it here once it has finished", flush=True)
        stopped = call.get()
        fetch_records(name, trial.number, sweep.place(trial.number))
    result = sweep.result(trial.number)
    if stopped or not result or result.state != "done":
        raise UserError(f"{experiment}: {stopped or (result and result.reason) or 'has left no result'}")
    print(f"{experiment}: finished; fetch it with `nordic-sparse modal fetch {experiment}`")
