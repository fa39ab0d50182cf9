"""What a sweep costs besides training and evaluation: wall clock of a sweep of tiny trials, less that of their two stages.

    python benchmarks/sweep_overhead.py --trials 24

Both are timed as a user would: the sweep's command from start to end, with its report; `python -m stages.train` and
`python -m stages.evaluate` as whole processes, before and after the sweep. The machine should be idle.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from stages.runtime.root import ROOT
from tests.pipeline.survive_sweep import lines, real

REPEATS = 3


def seconds(run: Callable[[], object]) -> float:
    start = time.monotonic()
    run()
    return time.monotonic() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=24)
    trials = parser.parse_args().trials
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place).resolve() / "checkout"
        folder.mkdir()
        checkout = real(folder)
        (folder / "sweeps" / "s.yaml").write_text(lines(trials), encoding="utf-8")
        checkout.edit_params({"training": {"learning_rate": 9e-5}})  # none of the sweep's
        checkout.run("dvc", "repro")
        checkout.commit()
        stages: dict[str, list[float]] = {"train": [], "evaluate": []}

        def time_stages() -> None:
            for _ in range(REPEATS):
                for stage, found in stages.items():
                    found.append(seconds(lambda stage=stage: checkout.run("python", "-m", f"stages.{stage}", **{ROOT: str(folder)})))

        time_stages()
        whole = seconds(lambda: checkout.run("python", "-m", "stages.commands", "sweep", "sweeps/s.yaml"))
        time_stages()
        each = {name: statistics.median(found) for name, found in stages.items()} | {"sweep": whole / trials}
        overhead = each["sweep"] - each["train"] - each["evaluate"]
        rounded = {name: round(value, 1) for name, value in each.items()}
        print(json.dumps({"trials": trials, "cores": os.cpu_count(), "seconds_a_trial": rounded, "overhead_a_trial": round(overhead, 1)}))


if __name__ == "__main__":
    main()
