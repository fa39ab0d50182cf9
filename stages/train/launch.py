"""Starts the processes of a training by torchrun: one a GPU, on one machine or as this machine's share of several.

Several machines share the repository's folder. On each, the stage is started with torchrun's own variables:
PET_NNODES, PET_NODE_RANK, PET_MASTER_ADDR and PET_MASTER_PORT, or the same without PET_.
"""

import ctypes
import logging
import os
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from stages.runtime.errors import UserError

MISTAKE = 2  # exit status of a process that ended with a UserError
NAME = f"{UserError.__name__}: "  # begins what a process records of one
MOST_A_CORE = 4  # processes on CPU, each with a model of its own
SINGLE_MACHINE = ["--standalone"]


def is_worker(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether this process is one of several that torchrun, accelerate or the like has started."""
    return "RANK" in environment and "WORLD_SIZE" in environment


def launch(module: str, processes: int, gpus: int, cores: int) -> None:
    """Run ``python -m module`` in this machine's share of ``processes`` processes and return when all have ended well.

    Args:
        gpus: of this machine; 0 where training is on CPU.
        cores: of this machine, which its processes share.

    Raises:
        UserError: that of the process that failed first; or the processes do not fit the machines.
        SystemExit: a process failed otherwise; it has shown its traceback.
        KeyboardInterrupt: after Ctrl-C, when the processes have ended.
    """
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import parse_args, run

    nodes = _variable("NNODES", "1")
    if not nodes.isdecimal() or not (machines := int(nodes)):
        raise UserError(f"NNODES: is {nodes!r}; give the number of machines, or unset it")
    here, rest = divmod(processes, machines)
    if rest:
        raise UserError(f"params.yaml: training.num_processes: is {processes}, which {machines} machines (NNODES) cannot share evenly")
    if gpus and here > gpus:
        raise UserError(f"params.yaml: training.num_processes: means {here} processes here, which has {gpus} GPUs; make it smaller")
    if not gpus and here > MOST_A_CORE * cores:
        raise UserError(f"params.yaml: training.num_processes: means {here} processes here, on {cores} cores; make it smaller")
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, cores // here)))
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)  # the process that failed has said why
    try:
        run(parse_args([*_rendezvous(machines), f"--nproc-per-node={here}", "-m", module]))
    except ChildFailedError as error:
        _, failure = error.get_first_failure()
        recorded = failure.message["message"] if isinstance(failure.message, dict) else failure.message
        if recorded.startswith(NAME):
            raise UserError(recorded.removeprefix(NAME)) from error
        sys.exit(failure.exitcode if failure.exitcode > 0 else 128 - failure.exitcode)
    except SignalException as error:
        if error.sigval == signal.SIGINT:
            raise KeyboardInterrupt from error
        sys.exit(128 + error.sigval)


def _rendezvous(machines: int) -> list[str]:
    """Where the processes meet, as torchrun's arguments; its PET_ variables hold where they are set."""
    if machines == 1:
        return SINGLE_MACHINE
    names = {"NODE_RANK": "node-rank", "MASTER_ADDR": "master-addr", "MASTER_PORT": "master-port"}
    given = {argument: os.environ[name] for name, argument in names.items() if name in os.environ}
    return [f"--nnodes={machines}", *(f"--{argument}={value}" for argument, value in given.items())]


def _variable(name: str, default: str) -> str:
    return os.environ.get(f"PET_{name}") or os.environ.get(name) or default


@contextmanager
def as_worker() -> Iterator[None]:
    """In a process that torchrun started: end when torchrun dies, and hand a UserError to it, which says it once for all."""
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
    """torchrun's processes have sessions of their own: a SIGKILL of torchrun would leave them training (Linux only)."""
    if sys.platform == "linux":
        parent_death_signal = 1
        ctypes.CDLL(None).prctl(parent_death_signal, signal.SIGKILL)
