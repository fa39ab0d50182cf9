"""Everything that is measured and checked on a GPU, in one command of a few minutes.

    python benchmarks/gpu/run.py                          # on a card: all, within 480 s
    python benchmarks/gpu/run.py --device cpu --smoke     # tiny sizes: does it run at all?
    python benchmarks/gpu/run.py --only head step --seconds 200 --out results

`sample` needs the data, base model and metrics that `make repro` leaves; the rest needs only the repository.
Measures (`MEASURES`, most important first) run in a process beside this one, each within its own limit. One that fails or
takes too long is reported, and a new process takes the rest. results.json and table.md are written after every row.
"""

import argparse
import gc
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve()
sys.path[:0] = [str(HERE.parents[2]), str(HERE.parents[1]), str(HERE.parent)]  # stages, the benchmarks, their parts for a GPU

START = 90  # seconds that a process may take to import everything
MEASURES = {  # name: seconds at most
    "sample": 150,
    "machine": 30,
    "maxima": 40,
    "head_values": 40,
    "head": 60,
    "step": 75,
    "largest_batch": 60,
    "padding": 60,
    "trainer": 90,
    "curves": 50,
    "checkpointing": 50,
}


def work(names: list[str], options: argparse.Namespace) -> None:
    """Carry out the measures; every row is a line of JSON on stdout, all else that is printed goes to stderr."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def tell(**message: Any) -> None:
        print(json.dumps(message), file=out, flush=True)

    import checks
    import measures
    import training

    for name in names:
        tell(measure=name, began=True)
        try:
            measure = next(getattr(module, name) for module in (training, checks, measures) if hasattr(module, name))
            for row in measure(options.device, options.smoke):
                tell(measure=name, row=row)
        except Exception:
            traceback.print_exc()
            tell(measure=name, error=traceback.format_exc().strip()[-600:])
            sys.exit(1)  # what failed on a GPU may fail all that follows in the same process
        gc.collect()
        measures.free(options.device)


def conduct(names: list[str], options: argparse.Namespace) -> bool:
    """Run the measures in processes, write and print what they tell; whether all went well."""
    end = time.monotonic() + options.seconds
    results: list[dict[str, Any]] = []

    def note(**result: Any) -> None:
        results.append(result)
        (options.out / "results.json").write_text(json.dumps(results, indent=1), encoding="utf-8")
        (options.out / "table.md").write_text(tables(results), encoding="utf-8")

    with (options.out / "log.txt").open("w") as log:
        while names and (left := end - time.monotonic()) > 10:
            command = [sys.executable, str(HERE), "--device", options.device, *(["--smoke"] if options.smoke else [])]
            process = subprocess.Popen([*command, "--work", *names], stdout=subprocess.PIPE, stderr=log, text=True, start_new_session=True)
            messages = listen(process)
            measure, limit, began = "start", time.monotonic() + min(START, left), time.monotonic()
            while True:
                try:
                    message = messages.get(timeout=max(0.0, min(limit, end) - time.monotonic()))
                except queue.Empty:
                    os.killpg(process.pid, signal.SIGKILL)
                    note(measure=measure, error=f"stopped after {time.monotonic() - began:.0f} s")
                    break
                if message is None:  # the process has ended
                    if process.wait() and not (results and "error" in results[-1]):
                        note(measure=measure, error=f"the process ended with {process.returncode}")
                    break
                if "began" in message:
                    print(f"[{options.seconds - (end - time.monotonic()):.0f} s] {message['measure']}", flush=True)
                    measure, began = message["measure"], time.monotonic()
                    limit = began + MEASURES[measure]
                    names = names[names.index(measure) + 1 :]
                else:
                    note(**message)
            process.wait()
            if measure == "start":
                break  # it would not start the next time either
    for name in names:
        note(measure=name, error="not begun: no time left, or no process to begin it")
    print(f"\n{tables(results)}")
    return not any("error" in result or result.get("row", {}).get("passes") is False for result in results)


def listen(process: subprocess.Popen[str]) -> "queue.Queue[dict[str, Any] | None]":
    """What the process reports, as it arrives; None at its end."""
    messages: queue.Queue[dict[str, Any] | None] = queue.Queue()

    def read() -> None:
        assert process.stdout
        for line in process.stdout:
            messages.put(json.loads(line))
        messages.put(None)

    threading.Thread(target=read, daemon=True).start()
    return messages


def tables(results: list[dict[str, Any]]) -> str:
    """Markdown: a table a measure, with its errors below."""
    parts = []
    for measure in dict.fromkeys(result["measure"] for result in results):
        rows = [result["row"] for result in results if result["measure"] == measure and "row" in result]
        errors = [result["error"] for result in results if result["measure"] == measure and "error" in result]
        columns = list(dict.fromkeys(key for row in rows for key in row))
        lines = [f"| {' | '.join(cells)} |" for cells in [columns, ["---"] * len(columns)] if columns]
        lines += [f"| {' | '.join(cell(row.get(column)) for column in columns)} |" for row in rows]
        parts.append("\n".join([f"## {measure}\n", *lines, *(f"\nFAILED: {error}" for error in errors), ""]))
    return "\n".join(parts)


def cell(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:.3g}" if isinstance(value, float) and abs(value) < 1000 else f"{value:.0f}" if isinstance(value, float) else str(value)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda", choices=["cpu", "cuda"])
    parser.add_argument("--smoke", action="store_true", help="tiny sizes")
    parser.add_argument("--only", nargs="+", default=list(MEASURES), choices=MEASURES)
    parser.add_argument("--seconds", type=float, default=480.0, help="for all of it")
    parser.add_argument("--out", type=Path, default=Path("gpu-results"), help="folder for results.json, table.md, log.txt")
    parser.add_argument("--work", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        work(options.work, options)
        return
    options.out.mkdir(parents=True, exist_ok=True)
    sys.exit(0 if conduct([name for name in MEASURES if name in options.only], options) else 1)


if __name__ == "__main__":
    main()
