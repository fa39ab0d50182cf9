"""Kill a sweep at random moments, start the same command again each time, and count its trials at the end.

    python -m tests.pipeline.survive_sweep --trials 24 --kills 10 --tries 10      # or `make survive-sweep`: an hour
    python -m tests.pipeline.survive_sweep --toy                                  # a pipeline of seconds instead of a real training

The ways, drawn at random: SIGKILL to the sweep alone; to the process that runs a trial; to dvc or a stage of a trial; to all at once, as
when the machine goes down.
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil

from stages.sweeps.clone import TRIAL
from tests.pipeline.conftest import Workspace, make_workspace
from tests.toy import Toy

WAYS = ("sweep", "runner", "stage", "all")
LIMIT = 7200.0  # seconds that a sweep may take before it counts as hanging
TINY = {
    "profile": "own",
    "evaluation": {"sets": {"my-search": {"language": None}}},
    "model": {"made": {"vocab_size": 500, "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}},
    "training": {"max_steps": 12, "logging_steps": 1, "save_steps": 2, "per_device_train_batch_size": 4},
    "tracking": {"mlflow": False},
}
COMMAND = ("stages.commands", "sweep", "sweeps/s.yaml")


def of(process: psutil.Process, folder: Path) -> str | None:
    """What a process is to the sweep in ``folder``: its runner of a trial or one of a trial's stages; None for any other."""
    with suppress(psutil.Error, OSError):
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        if process.environ().get(TRIAL, "").startswith(str(folder)):
            return "stage"
        if "stages.sweeps.trial" in process.cmdline() and process.cwd() == str(folder):
            return "runner"
    return None


def alive(folder: Path) -> dict[str, list[psutil.Process]]:
    found: dict[str, list[psutil.Process]] = {"runner": [], "stage": []}
    for process in psutil.process_iter():
        if (kind := of(process, folder)) is not None:
            found[kind].append(process)
    return found


def results(folder: Path) -> dict[str, str]:
    return {path.parent.name: json.loads(path.read_text())["state"] for path in (folder / "sweeps/s/trials").glob("*/result.json")}


def survive(folder: Path, start: Callable[[], "subprocess.Popen[str]"], trials: int, kills: int, rng: random.Random) -> list[str]:
    """Run the sweep s to its end with ``kills`` kills; returns the ways that were used. Fails if a trial is lost."""
    moments = sorted(rng.randrange(trials) for _ in range(kills))
    began, used, sweep = time.monotonic(), [], start()
    last = began
    for moment in moments:
        while len(results(folder)) < moment:
            assert time.monotonic() - began < LIMIT
            if sweep.poll() is not None:
                output = sweep.communicate()[0]
                assert sweep.returncode != 2, output
                sweep = start()
            time.sleep(0.1)
        each = (time.monotonic() - began) / max(1, moment)
        time.sleep(rng.uniform(0, min(each, 60)))
        way = rng.choice(WAYS)
        there = alive(folder)
        doomed = {"sweep": [], "all": [*there["runner"], *there["stage"]]}.get(way) or there.get(way, [])[:1]
        for process in doomed:
            with suppress(psutil.Error):
                process.kill()
        used.append(way)
        if way in ("sweep", "all") or not doomed:
            sweep.kill()
            sweep.communicate()
            sweep = start()
        print(f"  {time.monotonic() - began:5.0f} s: killed {way} ({time.monotonic() - last:.0f} s after the last)", flush=True)
        last = time.monotonic()
    output, _ = sweep.communicate(timeout=LIMIT)
    assert sweep.returncode == 0, output
    left = alive(folder)
    assert not left["runner"] and not left["stage"]
    done = results(folder)
    assert len(done) == trials and {*done.values()} == {"done"}, (done, output)
    return used


def lines(trials: int) -> str:
    """A grid of this many trials."""
    rates = [round(0.001 * (1 + number), 4) for number in range(trials)]
    return f"method: grid\nparameters: {{training.learning_rate: {rates}}}\n"


def real(folder: Path) -> Workspace:
    """A checkout of the working tree with tiny data, a tiny model and a sweep of it still to be written."""
    from tests.pipeline.test_dvc import write_beir

    write_beir(folder.parent / "my-search")
    workspace = make_workspace(folder)
    workspace.edit_params(TINY)
    return workspace


def once(trials: int, kills: int, seed: int, toy: bool, place: Path) -> list[str]:
    """One try in the empty folder ``place``."""
    folder = place.resolve() / "checkout"
    folder.mkdir()
    checkout = Toy(folder) if toy else real(folder)
    (folder / "sweeps" / "s.yaml").write_text(lines(trials), encoding="utf-8")
    checkout.commit()
    environment = {**checkout.environment, "TOY_STEP": "0.3"}

    def start() -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-m", *COMMAND], cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, start_new_session=True,
        )  # fmt: skip

    used = survive(folder, start, trials, kills, random.Random(seed))
    listed = checkout.run("dvc", "exp", "list", "--name-only").split()
    assert len(listed) == trials, listed
    return used


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, number in (("trials", 24), ("kills", 10), ("tries", 10), ("seed", 0)):
        parser.add_argument(f"--{name}", type=int, default=number)
    parser.add_argument("--toy", action="store_true")
    given = parser.parse_args()
    for number in range(given.tries):
        with tempfile.TemporaryDirectory() as place:
            used = once(given.trials, given.kills, given.seed + number, given.toy, Path(place))
        print(f"try {number + 1}: {given.trials} of {given.trials} trials after {len(used)} kills ({', '.join(used)})", flush=True)


if __name__ == "__main__":
    main()
