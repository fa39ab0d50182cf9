"""The largest batch whose training step fits: stock next to ours, without and with gradient checkpointing.

    python benchmarks/largest_batch.py --device cuda --autocast
    python benchmarks/largest_batch.py --size 2x128x30000x64 --gigabytes 4      # on CPU, in so much memory

SPLADE as in training_step.py, two columns of full-length texts a batch; model, gradients and AdamW's state count. The batch
doubles until a step does not fit, and is then searched to a sixteenth; stock and ours are processes of their own.
"""

import argparse
import resource
import subprocess
import sys
from typing import Any

import torch
from splade_head import add_ways, hardware, ways
from training_step import build, prepare

DEFAULT = ["12x768x50000x256", "12x768x250000x256"]


def largest(kind: str, size: str, options: argparse.Namespace) -> int:
    """`largest_for` a new model, in the memory that the options allow."""
    layers, hidden, vocabulary, length = map(int, size.split("x"))
    if options.gigabytes and options.device == "cuda":
        torch.cuda.set_per_process_memory_fraction(min(1.0, options.gigabytes * 2**30 / torch.cuda.get_device_properties(0).total_memory))
    elif options.gigabytes:
        resource.setrlimit(resource.RLIMIT_DATA, (int(options.gigabytes * 2**30),) * 2)
    return largest_for(kind, build(layers, hidden, vocabulary, length), size, options)


def largest_for(kind: str, model: Any, size: str, options: argparse.Namespace) -> int:
    """Rows; 0 if not even one fits."""
    _, _, vocabulary, length = map(int, size.split("x"))
    model, loss, optimizer = prepare(kind, model, options)
    from stages.runtime.oom import is_out_of_memory

    def step(batch: int) -> None:
        ids = torch.randint(1, vocabulary, (2, batch, length), device=options.device)
        columns = [{"input_ids": each, "attention_mask": torch.ones_like(each)} for each in ids]
        with torch.autocast(options.device, torch.bfloat16, enabled=options.autocast):
            total = torch.stack(list(loss(columns, None).values())).sum()
        total.backward()
        optimizer.step()

    def fits(batch: int) -> bool:
        try:
            step(batch)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            return False
        finally:
            optimizer.zero_grad()
            if options.device == "cuda":
                torch.cuda.empty_cache()
        return True

    if not (fits(1) and fits(1)):  # from the second step on, AdamW's state takes memory too
        return 0
    good, bad = 1, 2
    while fits(bad):
        good, bad = bad, 2 * bad
    while bad - good > max(1, good // 16):
        middle = (good + bad) // 2
        good, bad = (middle, bad) if fits(middle) else (good, middle)
    return good


def in_own_process(kind: str, size: str, checkpointing: bool, options: argparse.Namespace) -> int:
    command = [sys.executable, __file__, "--kind", kind, "--size", size, "--device", options.device, f"--gigabytes={options.gigabytes}"]
    command += [*ways(options), *(["--gradient-checkpointing"] if checkpointing else [])]
    return int(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.split()[-1])


def main() -> None:
    parser: Any = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", nargs="+", default=DEFAULT, help="layers x hidden x vocabulary x length")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--gigabytes", type=float, default=0.0, help="memory that a process may take (CUDA: torch in it); 0: all there is")
    add_ways(parser)
    parser.add_argument("--gradient-checkpointing", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--kind", help=argparse.SUPPRESS)
    parser.set_defaults(split_padding=None)
    options = parser.parse_args()
    if options.kind:
        print(largest(options.kind, options.size[0], options))
        return
    print(f"{hardware(options.device)}{' '.join(['', *ways(options)])}\n")
    print(
        "| layers x hidden x vocabulary x length | gradient checkpointing | stock rows | ours rows | ours / stock |\n|---|---|---|---|---|"
    )
    for size in options.size:
        for checkpointing in (False, True):
            stock, ours = (in_own_process(kind, size, checkpointing, options) for kind in ("stock", "ours"))
            print(f"| {size} | {'yes' if checkpointing else 'no'} | {stock} | {ours} | {ours / max(1, stock):.1f}x |", flush=True)


if __name__ == "__main__":
    main()
