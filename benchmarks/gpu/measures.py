"""How fast and how large, stock beside ours: each function yields the rows of one of `run.py`'s tables.

As in training on CUDA: bf16 autocast, TF32 for what is left in float32. Times are medians in ms, memory MB of torch's peak.
"""

import os
import subprocess
import sys
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import padding as padding_benchmark
import splade_head
import torch
from largest_batch import largest_for
from training_step import build, column, made, prepare

Row = dict[str, Any]
KINDS = {"stock": ("stock", False), "ours": ("ours", False), "ours, Triton": ("ours", True)}
STEPS: dict[str, tuple[str, bool, int | None]] = {  # head, in Triton or not, training.split_padding
    "stock": ("stock", False, 0),
    "torch, no buckets": ("ours", False, 0),
    "torch": ("ours", False, None),
    "Triton, no buckets": ("ours", True, 0),
    "Triton": ("ours", True, None),
}


def settings(device: str, **changes: Any) -> Namespace:
    """The options of the benchmarks' scripts; turns TF32 on."""
    torch.backends.cuda.matmul.fp32_precision = "tf32"
    options = {"device": device, "autocast": True, "triton": False, "gradient_checkpointing": False, "split_padding": None}
    return Namespace(**options | {"steps": 12, "dropout": 0.1, "bias": 0.0} | changes)


def has_triton(device: str) -> bool:
    """On CUDA, or in Triton's interpreter."""
    return device == "cuda" or os.environ.get("TRITON_INTERPRET") == "1"


def free(device: str) -> None:
    if device == "cuda":
        torch.cuda.empty_cache()


def beside_stock(device: str, what: Row, run: Callable[[str, bool], Row], kinds: tuple[str, ...] = tuple(KINDS)) -> Iterator[Row]:
    """A row for each kind: ``what`` it is, time and memory of ``run(kind, triton)``, and how often they go into stock's."""
    stock: Row | None = None
    for name in kinds:
        kind, triton = KINDS[name]
        if triton and not has_triton(device):
            continue
        try:
            found = run(kind, triton)
        except torch.OutOfMemoryError:
            yield {**what, "kind": name, "ms": "out of memory"}
            found = {}
        free(device)
        if found:
            row = {**what, "kind": name, "ms": 1000 * found["seconds"], "MB": found["megabytes"]}
            if "active" in found:
                row["active"] = found["active"]
            if stock:
                row |= {"faster": stock["seconds"] / found["seconds"], "less": stock["megabytes"] / max(1.0, found["megabytes"])}
            yield row
        stock = found if name == "stock" else stock


def machine(device: str, smoke: bool) -> Iterator[Row]:
    """What it is, and two ceilings: a large bf16 product, a large copy (bytes read and written)."""
    card, driver = splade_head.hardware(device), "–"
    if device == "cuda":
        properties = torch.cuda.get_device_properties(0)
        card = f"{properties.name}, {properties.total_memory / 2**30:.1f} GiB, {properties.multi_processor_count} SMs"
        command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
        driver = subprocess.run(command, capture_output=True, text=True).stdout.strip()
    yield {"what": "card", "value": card}
    yield {"what": "driver, CUDA", "value": f"{driver}, {torch.version.cuda}"}
    yield {"what": "Python", "value": sys.version.split()[0]}
    for name in ("torch", "triton", "sentence-transformers", "transformers", "accelerate", "datasets", "flash-attn", "kernels"):
        try:
            yield {"what": name, "value": version(name)}
        except PackageNotFoundError:
            yield {"what": name, "value": "–"}
    size = 256 if smoke else 8192
    left, right = (torch.randn(size, size, device=device, dtype=torch.bfloat16) for _ in range(2))
    source = torch.randn((1 << 20) if smoke else (1 << 30), device=device)
    target = torch.empty_like(source)
    yield {"what": "bf16 product, TFLOP/s", "value": 2 * size**3 / median(lambda: left @ right, device) / 1e12}
    yield {"what": "copy, GB/s", "value": 2 * source.nbytes / median(lambda: target.copy_(source), device) / 1e9}


def median(step: Callable[[], Any], device: str, repeats: int = 10) -> float:
    """Seconds of a call, after three that do not count."""
    results = [splade_head.timed(step, device)["seconds"] for _ in range(3 + repeats)][3:]
    return sorted(results)[repeats // 2]


def head(device: str, smoke: bool) -> Iterator[Row]:
    """Head and pooling, forward and backward."""
    for size in ["4x16x32x700"] if smoke else ["32x256x768x50000", "16x128x768x250000"]:
        for bias in (0.0, -3.5):
            for autocast in (True, False):
                options = settings(device, autocast=autocast)

                def run(kind: str, triton: bool, size: str = size, bias: float = bias, options: Namespace = options) -> Row:
                    options.triton = triton
                    return splade_head.measure(kind, size, bias, options)

                what = {"batch x length x hidden x vocabulary": size, "precision": "bf16" if autocast else "TF32"}
                yield from beside_stock(device, what, run)


class Steps:
    """Training steps of one model, its head put on anew for each kind; the optimizer stays."""

    def __init__(self, device: str, size: str, **changes: Any) -> None:
        self.device, self.changes = device, changes
        layers, hidden, self.vocabulary, length = map(int, size.split("x"))
        model = build(layers, hidden, self.vocabulary, length)
        self.model, self.loss, self.optimizer = prepare("stock", model, settings(device, **changes))

    @contextmanager
    def way(self, kind: str, triton: bool, saving: int | None) -> Iterator[None]:
        """While it lasts, steps are made so."""
        options = settings(self.device, triton=triton, split_padding=saving, **self.changes)
        _, self.loss = made(kind, self.model, options)
        yield

    def times(self, batches: list[Any]) -> list[float]:
        """Seconds of a step on each of the batches, which are lists of columns."""
        return [splade_head.timed(partial(self._step, columns), self.device)["seconds"] for columns in batches]

    def _step(self, columns: list[dict[str, torch.Tensor]]) -> None:
        copies = [{name: value.to(self.device) for name, value in column.items()} for column in columns]
        with torch.autocast(self.device, torch.bfloat16):
            total = torch.stack(list(self.loss(copies, None).values())).sum()
        total.backward()
        self.optimizer.step()
        self.optimizer.zero_grad()


def step(device: str, smoke: bool, kinds: tuple[str, ...] = tuple(STEPS), rounds: int = 4, **changes: Any) -> Iterator[Row]:
    """Whole training steps on the same batches: medians over all rounds but the first, kinds in turns."""
    for size in ["2x32x700x4x16"] if smoke else ["12x768x50000x16x256", "12x768x250000x16x256"]:
        layers, hidden, vocabulary, batch, length = map(int, size.split("x"))
        generator = torch.Generator().manual_seed(1)
        batches = [[column(batch, length, vocabulary, generator) for _ in range(2)] for _ in range(2 if smoke else 6)]
        steps = Steps(device, f"{layers}x{hidden}x{vocabulary}x{length}", **changes)
        chosen = {name: STEPS[name] for name in kinds if has_triton(device) or not STEPS[name][1]}
        times: dict[str, list[float]] = {name: [] for name in chosen}
        peaks = dict.fromkeys(chosen, 0.0)
        for turn in range(2 if smoke else rounds):
            for name, (kind, triton, saving) in chosen.items():
                free(device)
                splade_head.start_peak(device)
                with steps.way(kind, triton, saving):
                    found = steps.times(batches)
                times[name] += found if turn else []
                peaks[name] = splade_head.peak_megabytes(device)
        for name, each in times.items():
            middle, first = sorted(each)[len(each) // 2], sorted(times["stock"])[len(times["stock"]) // 2]
            row = {"layers x hidden x vocabulary x batch x length": size, "kind": name, "ms": 1000 * middle, "fastest": 1000 * min(each)}
            yield row | {"MB": peaks[name], "faster": first / middle, "less": peaks["stock"] / peaks[name]}


def checkpointing(device: str, smoke: bool) -> Iterator[Row]:
    """`step` with gradient checkpointing."""
    yield from step(device, smoke, ("stock", "torch", "Triton"), 3, gradient_checkpointing=True)


def padding(device: str, smoke: bool) -> Iterator[Row]:
    """Steps on the mission's text lengths, by what one more bucket has to save (`training.split_padding`): of each batch the fastest."""
    with TemporaryDirectory() as folder:
        lengths = padding_benchmark.mixed_lengths(Path(folder))
    steps = Steps(device, f"{'2x32x700' if smoke else '12x768x50000'}x{padding_benchmark.CAP}")
    generator = torch.Generator().manual_seed(1)
    picked = sorted(np.random.default_rng(2).choice(len(lengths), 2 if smoke else 16, replace=False))
    batches = [[padding_benchmark.tokens(each, steps.vocabulary, generator) for each in lengths[place].T] for place in picked]
    ways: dict[int | None, list[list[float]]] = {saving: [] for saving in ([None, 0, 64] if smoke else [None, 0, 2048, 8192, 32768])}
    for _ in range(2 if smoke else 4):
        for saving, turns in ways.items():
            kind, triton = ("stock", False) if saving is None else ("ours", has_triton(device))
            with steps.way(kind, triton, saving):
                turns.append(steps.times(batches))
    spent = {saving: float(np.mean(np.min(turns[1:], 0))) for saving, turns in ways.items()}  # the first meets shapes that are new to CUDA
    for saving, seconds in spent.items():
        share, tokens = padding_benchmark.padding(lengths, saving or 0)
        way = "stock" if saving is None else f"ours, buckets that save {saving}" if saving else "ours, no buckets"
        yield {"way": way, "padding": share, "tokens": tokens, "ms": 1000 * seconds, "faster": spent[None] / seconds}


def largest_batch(device: str, smoke: bool) -> Iterator[Row]:
    """Rows of two full-length texts whose step fits into 24 GiB."""
    if device != "cuda":
        return
    fraction = min(1.0, 24 * 2**30 / torch.cuda.get_device_properties(0).total_memory)
    torch.cuda.set_per_process_memory_fraction(fraction)
    for size in ["2x32x700x16"] if smoke else ["12x768x50000x256", "12x768x250000x256"]:
        model = build(*map(int, size.split("x")))
        row: Row = {"layers x hidden x vocabulary x length": size}
        for kind in ("stock", "ours"):
            row[kind] = largest_for(kind, model, size, settings(device, triton=True))
            free(device)
        yield row | {"more": row["ours"] / max(1, row["stock"])}
    torch.cuda.set_per_process_memory_fraction(1.0)
