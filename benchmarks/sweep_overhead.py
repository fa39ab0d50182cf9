"""What a sweep costs besides training and evaluation: wall clock of a sweep of tiny trials, less what their train and evaluate stages took.

    python benchmarks/sweep_overhead.py --trials 6

The machine should be idle. The data stages, which the first trial runs, count as overhead too.
"""

import argparse
import json
import re
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.pipeline.survive_sweep import lines, real

LASTED = re.compile(r"^(train|evaluate): .*\((?:(\d+) min )?([\d.]+) s\)$", re.MULTILINE)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=6)
    trials = parser.parse_args().trials
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place).resolve() / "checkout"
        folder.mkdir()
        checkout = real(folder)
        (folder / "sweeps" / "s.yaml").write_text(lines(trials), encoding="utf-8")
        checkout.run("dvc", "repro", "mix", "validation", "make-base", "download-model")
        checkout.commit()
        start = time.monotonic()
        checkout.run("python", "-m", "stages.commands", "sweep", "sweeps/s.yaml")
        whole = time.monotonic() - start
        stages = {"train": 0.0, "evaluate": 0.0}
        for log in (folder / "sweeps/s/trials").glob("*/log.txt"):
            for stage, minutes, seconds in LASTED.findall(log.read_text(encoding="utf-8")):
                stages[stage] += 60 * int(minutes or 0) + float(seconds)
        each = (whole - sum(stages.values())) / trials
        rounded = {name: round(value / trials, 1) for name, value in (*stages.items(), ("sweep", whole))}
        print(json.dumps({"trials": trials, "seconds_a_trial": rounded, "overhead_a_trial": round(each, 1)}))


if __name__ == "__main__":
    main()
