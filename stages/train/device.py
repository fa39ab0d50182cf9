"""The defaults of a device: precision, workers, pinned memory, optimiser, threads. params.yaml can override each."""

import os
from functools import cache
from importlib.util import find_spec

import torch

from stages.config.schema import Training
from stages.runtime.device import cores

WORKERS = 4  # data loader workers for a GPU, at most
SPLIT_PADDING = {"cpu": 64, "cuda": 8192, "mps": 0}  # padding tokens as costly as one more pass; not measured on MPS


def choose_engine(
    training: Training, device: str, processes: int, *, splade_head: bool = True, flash_attention: bool = False
) -> tuple[Training, str]:
    """Resolve the section ``training`` for ``device`` (cuda, mps or cpu), and describe the result in a line; set the number of threads.

    A null means the device's default. A setting that the device lacks is switched off, and the line says so.
    CUDA: the precision asked for; from Ampere on TF32 for the rest and the Triton head; workers, pinned memory.
    MPS: bf16 from macOS 14 on; no workers and no pinning, because memory is shared. CPU: float32.
    AdamW is fused everywhere. A step's texts are length-bucketed, except with torch.compile, which would recompile for each shape, and
    with flash attention, which has no padding.

    Args:
        processes: number of processes on all machines, for the line.
        splade_head: whether the model has a SPLADE head.
    """
    fallbacks = []
    bf16, fp16, triton = training.bf16, training.fp16, training.triton
    if bf16 and not _has_bf16(device):
        needs = {"cuda": "an Ampere GPU or later", "mps": "macOS 14"}.get(device, "a GPU")
        fallbacks.append(f"no bf16, which needs {needs}")
        bf16 = False
    if fp16 and device != "cuda":
        fallbacks.append("no fp16, which needs a CUDA GPU")
        fp16 = False
    has_tf32 = device == "cuda" and torch.cuda.get_device_capability()[0] >= 8
    if training.tf32 and not has_tf32:
        fallbacks.append("no TF32, which needs an Ampere GPU or later")
    if triton is None and not splade_head:
        triton = False
    dtype = torch.bfloat16 if bf16 else torch.float16 if fp16 else torch.float32
    without_triton = "" if triton is False else _triton_obstacle(device, dtype)
    if without_triton and (triton or device == "cuda"):
        fallbacks.append(f"no Triton head, {without_triton}")
    if training.dataloader_pin_memory and device != "cuda":
        fallbacks.append("no pinned memory, which needs a CUDA GPU")
    if training.num_threads is not None or (device == "cpu" and "OMP_NUM_THREADS" not in os.environ):
        torch.set_num_threads(training.num_threads or min(torch.get_num_threads(), cores()))
    workers, split_padding = training.dataloader_num_workers, training.split_padding
    if workers is None:
        share = max(1, cores() // max(1, int(os.environ.get("LOCAL_WORLD_SIZE", "1"))))
        workers = min(WORKERS, share) if device == "cuda" else 0
    if workers:
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # the workers run in parallel already, and tokenizers warns about forks
    if flash_attention or (split_padding is None and training.torch_compile):
        split_padding = 0
    chosen = {
        "device": device,
        "bf16": bf16,
        "fp16": fp16,
        "tf32": training.tf32 is not False if has_tf32 else None,
        "optim": training.optim or "adamw_torch_fused",
        "dataloader_num_workers": workers,
        "dataloader_pin_memory": device == "cuda" and training.dataloader_pin_memory is not False,
        "triton": triton is not False and not without_triton,
        "split_padding": SPLIT_PADDING[device] if split_padding is None else split_padding,
    }
    resolved = training.model_copy(update=chosen)
    return resolved, "; ".join([f"training on {_name(device, processes)}: {_parts(resolved)}", *fallbacks])


def _name(device: str, processes: int) -> str:
    if device == "cuda":
        name = torch.cuda.get_device_name()
    else:
        name = "Apple GPU" if device == "mps" else f"{(threads := torch.get_num_threads())} thread{'s' * (threads > 1)}"
    return f"{device} ({name}{f', {processes} processes' if processes > 1 else ''})"


def _parts(training: Training) -> str:
    parts = {
        "bf16" if training.bf16 else "fp16" if training.fp16 else "float32": True,
        "TF32": training.tf32,
        str(training.optim): True,
        f"{training.dataloader_num_workers} workers": training.dataloader_num_workers,
        "pinned memory": training.dataloader_pin_memory,
        "torch.compile": training.torch_compile,
        "Triton head": training.triton,
        f"length buckets (split_padding {training.split_padding})": training.split_padding,
    }
    return ", ".join(part for part, there in parts.items() if there)


@cache
def _triton_obstacle(device: str, dtype: torch.dtype) -> str:
    """Why the SPLADE head cannot use its Triton kernel; empty if it can."""
    if device != "cuda" or not find_spec("triton"):
        return "which needs a CUDA GPU and the package triton"
    if torch.cuda.get_device_capability()[0] < 8:
        return "which needs an Ampere GPU or later"
    from stages.encoders.fast.triton_maxima import obstacle

    return obstacle(device, dtype)


def _has_bf16(device: str) -> bool:
    if device == "mps":
        return torch.backends.mps.is_macos_or_newer(14, 0)
    return device == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
