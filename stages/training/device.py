"""Which device trains, and at which precision it can."""

import torch

from stages.errors import UserError


def choose_device(wanted: str) -> str:
    """The device for ``wanted`` (auto, cuda, mps or cpu): auto takes cuda, then mps, then cpu.

    Raises:
        UserError: the device asked for is not there.
    """
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if wanted == "auto":
        return next(device for device, available in there.items() if available)
    if not there[wanted]:
        raise UserError(f"params.yaml: training.device: is {wanted}, which this machine does not have; use auto or cpu")
    return wanted


def choose_precision(device: str, *, bf16: bool, fp16: bool) -> tuple[bool, bool]:
    """(bf16, fp16) as ``device`` can have them: mixed precision is for CUDA; elsewhere float32."""
    if device != "cuda":
        return False, False
    return bf16 and torch.cuda.is_bf16_supported(), fp16


def describe(device: str, bf16: bool, fp16: bool) -> str:
    """One line on what was chosen."""
    name = torch.cuda.get_device_name() if device == "cuda" else f"{torch.get_num_threads()} threads" if device == "cpu" else "Apple GPU"
    return f"training on {device} ({name}), {'bf16' if bf16 else 'fp16' if fp16 else 'float32'}"
