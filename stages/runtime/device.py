"""Choose the device, and count GPUs and processor cores."""

import os
from pathlib import Path

import torch

from stages.runtime.errors import UserError

CGROUP = Path("/sys/fs/cgroup")


def choose_device(wanted: str) -> str:
    """The device for ``wanted`` (auto, cuda, mps or cpu); auto means cuda, else mps, else cpu.

    Raises:
        UserError: this machine does not have the device.
    """
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if wanted == "auto":
        return next(device for device, available in there.items() if available)
    if not there[wanted]:
        raise UserError(f"params.yaml: training.device: is {wanted}, which this machine does not have; use auto or cpu")
    return wanted


def gpus(device: str) -> int:
    """GPUs of this machine; 0 if ``device`` is not cuda."""
    return torch.cuda.device_count() if device == "cuda" else 0


def cores(cgroup: Path = CGROUP) -> int:
    """Processor cores that this process may use, within a container's quota, which torch ignores."""
    here = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        if (cgroup / "cpu.max").exists():
            quota, period = (cgroup / "cpu.max").read_text().split()
        else:
            quota, period = ((cgroup / "cpu" / f"cpu.cfs_{name}_us").read_text().strip() for name in ("quota", "period"))
        allowed = int(quota) / int(period)
    except (OSError, ValueError):  # no quota: no such file, or "max"
        return here
    return max(1, min(here, round(allowed))) if allowed > 0 else here
