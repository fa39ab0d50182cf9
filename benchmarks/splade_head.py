"""SPLADE's head, stock next to ours: seconds forward and backward, and the memory beyond that of the inputs.

    python benchmarks/splade_head.py --size 32x256x768x50000 --bias 0 --repeats 3

Each measurement runs in its own process, stock and ours in turns; the table has the fastest of each, on CUDA of the medians of
20 steps. Lengths are uniform from a quarter to full; stock pads. Bias 0 makes every term active, the worst case for ours; −3.5
about 4%. Memory is the peak of the resident set (on CUDA, of torch's allocated memory) beyond inputs and weights; gradients count.
"""

import argparse
import json
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

SIZES = ["32x160x128x8000", "32x256x768x50000", "16x128x768x250000"]  # batch × length × hidden × vocabulary


def measure(kind: str, size: str, bias: float, options: argparse.Namespace) -> dict[str, float]:
    """Wall and processor seconds of a step (`typical`), MB at the peak, share of active terms."""
    from sentence_transformers.sparse_encoder.modules import SpladePooling

    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from stages.encoders.fast.head import Head
    from stages.encoders.fast.pooling import FastPooling

    device = options.device
    batch, length, hidden, vocabulary = map(int, size.split("x"))
    torch.manual_seed(0)
    lengths = torch.randint(length // 4, length + 1, (batch,))
    lengths[0] = length
    mask = (torch.arange(length) < lengths[:, None]).long().to(device)
    states = torch.randn(batch, length, hidden, device=device, requires_grad=True)
    decoder = torch.nn.Linear(hidden, vocabulary, device=device)
    torch.nn.init.normal_(decoder.weight, std=hidden**-0.5)
    torch.nn.init.constant_(decoder.bias, bias)
    weights = torch.rand(batch, vocabulary, device=device)
    pooling = (FastPooling if kind == "ours" else SpladePooling)("max").train()
    pooling.maxima = maxima(options.triton)

    def step(states: torch.Tensor, mask: torch.Tensor, decoder: torch.nn.Linear) -> torch.Tensor:
        with torch.autocast(device, torch.bfloat16, enabled=options.autocast):
            given = {"token_embeddings": states, "head": Head(decoder)} if kind == "ours" else {"token_embeddings": decoder(states)}
            embeddings: torch.Tensor = pooling(given | {"attention_mask": mask})["sentence_embedding"]
        (embeddings * weights[: len(embeddings), : decoder.out_features]).sum().backward()
        states.grad = decoder.weight.grad = decoder.bias.grad = None
        return embeddings.detach()

    few = torch.nn.Linear(hidden, 64, device=device)
    step(states[:1, :2].detach().requires_grad_(), mask[:1, :2], few)  # loads the libraries
    for _ in range(3 if device == "cuda" else 0):
        step(states, mask, decoder)
    before = start_peak(device)
    results = [timed(lambda: step(states, mask, decoder), device) for _ in range(20 if device == "cuda" else 2)]
    megabytes = peak_megabytes(device) - before
    active = (step(states, mask, decoder) > 0).float().mean().item()
    return typical(results[1:], device) | {"megabytes": megabytes, "active": active}


def maxima(triton: bool) -> Any:
    """The kernel, or None: torch's own operations."""
    if not triton:
        return None
    from stages.encoders.fast.triton_maxima import triton_maxima

    return triton_maxima


def timed(step: Callable[[], Any], device: str) -> dict[str, float]:
    """Wall and processor seconds of one call; on CUDA the time between events before and after it, so that its launches count too."""
    wall, processor = time.perf_counter(), time.process_time()
    if device == "cuda":
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
    step()
    seconds = time.perf_counter() - wall
    if device == "cuda":
        end.record()
        end.synchronize()
        seconds = start.elapsed_time(end) / 1000
    return {"seconds": seconds, "processor": time.process_time() - processor}


def typical(results: list[dict[str, float]], device: str) -> dict[str, float]:
    """The fastest result, which other processes disturbed least; on CUDA the median."""
    return sorted(results, key=lambda result: result["seconds"])[len(results) // 2 if device == "cuda" else 0]


def start_peak(device: str) -> float:
    """MB held now, where the device can measure a peak from here on (CUDA); else the peak so far."""
    if device == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        return torch.cuda.memory_allocated() / 2**20
    return peak_megabytes(device)


def peak_megabytes(device: str) -> float:
    """The most memory that this process has held so far, on CUDA since `start_peak`."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", nargs="+", default=SIZES, help="batch x length x hidden x vocabulary")
    parser.add_argument("--bias", nargs="+", type=float, default=[0.0, -3.5])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    add_ways(parser)
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.measure:
        print(json.dumps(measure(options.measure, options.size[0], options.bias[0], options)))
        return
    print(f"{hardware(options.device)}{' '.join(['', *ways(options)])}\n")
    columns = ["batch x length x hidden x vocabulary", "active", "stock s", "ours s", "faster"]
    columns += ["stock core s", "ours core s", "stock MB", "ours MB", "less"]
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}", flush=True)
    for size in options.size:
        for bias in options.bias:
            runs: dict[str, list[dict[str, float]]] = {"stock": [], "ours": []}
            for _ in range(options.repeats):
                for kind, results in runs.items():
                    command = [sys.executable, __file__, "--measure", kind, "--size", size, f"--bias={bias}"]
                    command += ["--device", options.device, "--threads", str(options.threads), *ways(options)]
                    output = subprocess.run(command, check=True, capture_output=True, text=True)
                    results.append(json.loads(output.stdout.splitlines()[-1]))
            best = {k: {key: min(r[key] for r in results) for key in results[0]} for k, results in runs.items()}
            stock, ours = best["stock"], best["ours"]
            print(
                f"| {size} | {ours['active']:.0%} | {stock['seconds']:.3g} | {ours['seconds']:.3g} "
                f"| {stock['seconds'] / ours['seconds']:.1f}x | {stock['processor']:.2f} | {ours['processor']:.2f} "
                f"| {stock['megabytes']:.0f} | {ours['megabytes']:.0f} | {stock['megabytes'] / ours['megabytes']:.1f}x |",
                flush=True,
            )


def add_ways(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--autocast", action="store_true", help="in bf16, where autocast takes it")
    parser.add_argument("--triton", action="store_true", help="ours makes its maxima in the Triton kernel")


def ways(options: argparse.Namespace) -> list[str]:
    """The flags of `add_ways` that are set."""
    return [f"--{name}" for name in ("autocast", "triton") if getattr(options, name)]


def hardware(device: str) -> str:
    """Versions, processor and cores, as one line."""
    import sentence_transformers
    import transformers

    name = torch.cuda.get_device_name() if device == "cuda" else _processor()
    versions = (
        f"torch {torch.__version__}, sentence-transformers {sentence_transformers.__version__}, transformers {transformers.__version__}"
    )
    return f"{name}, {torch.get_num_threads()} threads, Python {platform.python_version()}, {versions}"


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    if information.exists():
        names = [line.split(":")[1].strip() for line in information.read_text().splitlines() if line.startswith("model name")]
        if names:
            return names[0]
    return platform.processor() or platform.machine()


if __name__ == "__main__":
    main()
