"""Which device trains, and what of it is used: precision, workers, pinned memory, optimiser, threads. Each can be overruled."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from typing import Any

import torch

from stages.runtime.device import cores

WORKERS = 4  # that make batches for a GPU, at most
SPLIT_PADDING = {"cpu": 64, "cuda": 8192, "mps": 0}  # tokens as dear as one more pass: measured on CPU and an H100, unknown on MPS


@dataclass(frozen=True)
class Engine:
    """What a device trains with; as a string, one line that says so.

    Attributes:
        name: of the device, for people.
        bf16, fp16, tf32, optim, dataloader_num_workers, dataloader_pin_memory, torch_compile: as in transformers' TrainingArguments;
            tf32 None where the device has no such thing.
        triton: the SPLADE head makes its maxima in a Triton kernel.
        split_padding: tokens of padding that one more length bucket has to save; 0: no buckets.
        fallbacks: what was asked for and could not be had.
    """

    name: str
    bf16: bool = False
    fp16: bool = False
    tf32: bool | None = None
    optim: str = "adamw_torch_fused"
    dataloader_num_workers: int = 0
    dataloader_pin_memory: bool = False
    torch_compile: bool = False
    triton: bool = False
    split_padding: int = 0
    fallbacks: Sequence[str] = field(default=())

    def arguments(self) -> dict[str, Any]:
        """The attributes that `Hyperparameters` has too."""
        return {name: value for name, value in vars(self).items() if name not in ("name", "triton", "split_padding", "fallbacks")}

    def __str__(self) -> str:
        parts = ["bf16" if self.bf16 else "fp16" if self.fp16 else "float32"]
        parts += ["TF32"] if self.tf32 else []
        parts += [self.optim]
        parts += [f"{self.dataloader_num_workers} workers"] if self.dataloader_num_workers else []
        parts += ["pinned memory"] if self.dataloader_pin_memory else []
        parts += ["torch.compile"] if self.torch_compile else []
        parts += ["Triton head"] if self.triton else []
        parts += [f"length buckets that save {self.split_padding} tokens"] if self.split_padding else []
        return "; ".join([f"training on {self.name}: {', '.join(parts)}", *self.fallbacks])


def choose_engine(
    device: str,
    processes: int,
    *,
    bf16: bool,
    fp16: bool,
    tf32: bool | None = None,
    optim: str | None = None,
    dataloader_num_workers: int | None = None,
    dataloader_pin_memory: bool | None = None,
    torch_compile: bool = False,
    triton: bool | None = None,
    split_padding: int | None = None,
    num_threads: int | None = None,
) -> Engine:
    """What ``device`` (cuda, mps or cpu) trains with, None meaning its own choice; sets the number of threads.

    CUDA: the precision asked for; from Ampere on TF32 for what is left in float32 and the Triton head; workers, pinned memory.
    MPS: bf16 from macOS 14 on, no workers and no pinning: memory is shared already. CPU: float32.
    AdamW is fused everywhere. A step's texts are grouped by length, but not with torch.compile, which would compile each shape anew.
    ``processes``: of all machines, for the line that is printed.
    """
    fallbacks = []
    if bf16 and not _has_bf16(device):
        needs = {"cuda": "an Ampere GPU or later", "mps": "macOS 14"}.get(device, "a GPU")
        fallbacks.append(f"no bf16, which needs {needs}")
        bf16 = False
    if fp16 and device != "cuda":
        fallbacks.append("no fp16, which needs a CUDA GPU")
        fp16 = False
    has_tf32 = device == "cuda" and torch.cuda.get_device_capability()[0] >= 8
    if tf32 and not has_tf32:
        fallbacks.append("no TF32, which needs an Ampere GPU or later")
    dtype = torch.bfloat16 if bf16 else torch.float16 if fp16 else torch.float32
    without_triton = "" if triton is False else _triton_obstacle(device, dtype)
    if without_triton and (triton or device == "cuda"):
        fallbacks.append(f"no Triton head, {without_triton}")
    if dataloader_pin_memory and device != "cuda":
        fallbacks.append("no pinned memory, which needs a CUDA GPU")
    if num_threads is not None or (device == "cpu" and "OMP_NUM_THREADS" not in os.environ):
        torch.set_num_threads(num_threads or min(torch.get_num_threads(), cores()))
    on_cuda = device == "cuda"
    share = max(1, cores() // max(1, int(os.environ.get("LOCAL_WORLD_SIZE", "1"))))
    name = {"cuda": torch.cuda.get_device_name, "mps": lambda: "Apple GPU", "cpu": lambda: f"{torch.get_num_threads()} threads"}[device]()
    engine = Engine(
        name=f"{device} ({name}{f', {processes} processes' if processes > 1 else ''})",
        bf16=bf16,
        fp16=fp16,
        tf32=(tf32 is not False) if has_tf32 else None,
        optim=optim or "adamw_torch_fused",
        dataloader_num_workers=(min(WORKERS, share) if on_cuda else 0) if dataloader_num_workers is None else dataloader_num_workers,
        dataloader_pin_memory=on_cuda and dataloader_pin_memory is not False,
        torch_compile=torch_compile,
        triton=triton is not False and not without_triton,
        split_padding=(0 if torch_compile else SPLIT_PADDING[device]) if split_padding is None else split_padding,
        fallbacks=fallbacks,
    )
    if engine.dataloader_num_workers:
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # the workers are the parallelism, and tokenizers warns of forks
    return engine


@cache
def _triton_obstacle(device: str, dtype: torch.dtype) -> str:
    """Why the SPLADE head does without its Triton kernel; empty if it need not."""
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
