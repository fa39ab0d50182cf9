"""Start the processes of a training run with torchrun: one per GPU, on one machine or on several.

Several machines must share the repository's folder. The stage is started on each with torchrun's environment variables
PET_NNODES, PET_NODE_RANK, PET_MASTER_ADDR and PET_MASTER_PORT, or the same names without PET_.
"""

import ctypes
import logging
import os
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from stages.runtime.errors import MISTAKE, UserError

NAME = f"{UserError.__name__}: "  # how torchrun's record of one begins
PROCESSES_PER_CORE = 4  # at most, on CPU; each has its own model


def is_worker(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether torchrun, accelerate or the like started this process as one of several."""
    return "RANK" in environment and "WORLD_SIZE" in environment


def launch(module: str, processes: int, gpus: int, cores: int) -> None:
    """Run ``python -m module`` in this machine's share of ``processes`` processes and return when all have succeeded.

    Args:
        gpus: of this machine; 0 if training is on CPU.
        cores: of this machine, which its processes share.

    Raises:
        UserError: that of the process that failed first; or the processes do not fit the machines.
        SystemExit: Ctrl-C or another failure; the process has printed the message.
    """
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import parse_args, run

    nodes = os.environ.get("PET_NNODES") or os.environ.get("NNODES") or "1"
    if not nodes.isdecimal() or not (machines := int(nodes)):
        raise UserError(f"NNODES: must be the number of machines, got {nodes!r}; unset it for one machine")
    here, rest = divmod(processes, machines)
    if rest:
        raise UserError(f"params.yaml: training.num_processes: must be a multiple of {machines} (NNODES), got {processes}")
    if gpus and here > gpus:
        raise UserError(f"params.yaml: training.num_processes: needs {here} GPUs on this machine, which has {gpus}; lower it")
    if not gpus and here > PROCESSES_PER_CORE * cores:
        raise UserError(f"params.yaml: training.num_processes: needs {here} processes on this machine, which has {cores} cores; lower it")
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, cores // here)))
    for logger in ("torch.distributed.elastic", "torch.distributed.elastic.agent.server.api"):
        logging.getLogger(logger).setLevel(logging.CRITICAL)  # the process that failed has printed why
    try:
        run(parse_args([*_rendezvous(machines), f"--nproc-per-node={here}", "-m", module]))
    except ChildFailedError as error:
        _, failure = error.get_first_failure()
        recorded = failure.message["message"] if isinstance(failure.message, dict) else failure.message
        if recorded.startswith(NAME):
            raise UserError(recorded.removeprefix(NAME)) from error
        sys.exit(failure.exitcode if failure.exitcode > 0 else 128 - failure.exitcode)
    except SignalException as error:
        sys.exit(128 + error.sigval)


def _rendezvous(machines: int) -> list[str]:
    """torchrun's arguments for where the processes meet; PET_ variables take precedence over those without."""
    if machines == 1:
        return ["--standalone"]
    names = {"NODE_RANK": "node-rank", "MASTER_ADDR": "master-addr", "MASTER_PORT": "master-port"}
    given = {argument: os.environ[name] for name, argument in names.items() if name in os.environ}
    return [f"--nnodes={machines}", *(f"--{argument}={value}" for argument, value in given.items())]


@contextmanager
def as_worker() -> Iterator[None]:
    """In a process that torchrun started: end when torchrun dies, and record a UserError for it to print once."""
    if "TORCHELASTIC_ERROR_FILE" not in os.environ:
        yield
        return
    from torch.distributed.elastic.multiprocessing.errors import get_error_handler

    _end_with_parent()
    try:
        yield
    except UserError as error:
        get_error_handler().record_exception(error)
        sys.exit(MISTAKE)


def _end_with_parent() -> None:
    """End this process if torchrun gets a SIGKILL; it has a session of its own and would keep training (Linux only)."""
    if sys.platform == "linux":
        parent_death_signal = 1
        ctypes.CDLL(None).prctl(parent_death_signal, signal.SIGKILL)
