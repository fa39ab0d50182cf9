"""Kill the pipeline at random moments, restart it each time, and compare its output with that of an undisturbed run, byte for byte.

    python -m tests.pipeline.survive --kills 10 --seed 0      # or `make survive`: some minutes

The ways take turns: SIGKILL to the process group, to dvc alone, to the trainer alone, SIGINT to the group (Ctrl-C). All the
while it checks that there is never a second trainer. A run that finishes is compared, and another one is started.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path

import psutil

from stages.runtime.files import remove
from tests.pipeline.conftest import SMALL, Workspace, make_workspace
from tests.pipeline.test_interrupted import digests

WAYS = ("group", "dvc", "trainer", "ctrl-c")
STEPS = 48
TRAINING = {"max_steps": STEPS, "logging_steps": 2, "save_steps": 4, "eval_steps": 6, "save_total_limit": 1}
LIMIT = 3600.0  # seconds that a run may take before it counts as hanging


class Watch(threading.Thread):
    """Counts the trainers at work in a workspace: those that have the training rows mapped, which comes after the lock."""

    def __init__(self, folder: Path) -> None:
        super().__init__(daemon=True)
        self.folder, self.most = folder, 0
        self.start()

    def run(self) -> None:
        while True:
            self.most = max(self.most, sum(self._works(process) for process in trainers(self.folder)))
            time.sleep(0.1)

    @staticmethod
    def _works(process: psutil.Process) -> bool:
        with suppress(psutil.Error, OSError):
            return any(each.path.endswith("rows.arrow") for each in process.memory_maps())
        return False


def trainers(folder: Path) -> list[psutil.Process]:
    """The living processes of the train stage in a workspace, orphans among them."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.status() != psutil.STATUS_ZOMBIE and "stages.train" in process.cmdline()[1:] and process.cwd() == str(folder):
                found.append(process)
    return found


def start(workspace: Workspace, log: Path) -> subprocess.Popen[bytes]:
    with log.open("wb") as file:
        return subprocess.Popen(
            ["dvc", "repro"],
            cwd=workspace.folder,
            env=workspace.environment,
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
        )


def reached(folder: Path) -> int:
    """The step of the newest checkpoint, complete or not; 0 without one."""
    return max((int(path.name.split("-")[1]) for path in (folder / "checkpoints").glob("*/checkpoint-*")), default=0)


def kill(process: subprocess.Popen[bytes], way: str, folder: Path) -> None:
    with suppress(ProcessLookupError):
        if way == "group":
            os.killpg(process.pid, signal.SIGKILL)
        elif way == "ctrl-c":
            os.killpg(process.pid, signal.SIGINT)
        elif way == "dvc":
            process.kill()
        else:
            for trainer in trainers(folder):
                trainer.kill()


def survive(kills: int, seed: int) -> bool:
    """Run the whole comparison; return whether every run agreed."""
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory() as place:
        workspaces = []
        for name in ("undisturbed", "disturbed"):
            (Path(place) / name).mkdir()
            workspace = make_workspace(Path(place).resolve() / name)
            workspace.edit_params({**SMALL, "training": {**SMALL["training"], **TRAINING}})
            workspace.commit("small")
            workspaces.append(workspace)
        undisturbed, workspace = workspaces
        begun = time.monotonic()
        log = Path(place) / "repro.log"
        if start(undisturbed, log).wait(LIMIT):
            print(f"the undisturbed run failed:\n{log.read_text()[-3000:]}")
            return False
        whole = time.monotonic() - begun
        expected = digests(undisturbed)
        print(f"undisturbed: {len(expected)} files in {whole:.0f} s", flush=True)
        watch, done, fine, folder = Watch(workspace.folder), 0, True, workspace.folder
        while True:
            process = start(workspace, log)
            begun, way = time.monotonic(), WAYS[done % len(WAYS)]
            at_step = reached(folder) + chance.randint(1, STEPS // 4)
            anywhere = done % 5 == 4 and way != "trainer"  # otherwise somewhere in the training
            moment, pause = begun + chance.uniform(0, whole), chance.uniform(0, 0.3)
            while process.poll() is None and not (
                done < kills and (time.monotonic() > moment if anywhere else reached(folder) >= at_step and trainers(folder))
            ):
                if time.monotonic() > begun + LIMIT:
                    os.killpg(process.pid, signal.SIGKILL)
                    print(f"hangs:\n{log.read_text()[-3000:]}")
                    return False
                time.sleep(0.02)
            if process.poll() is None:
                time.sleep(pause)
                step = reached(folder)
                kill(process, way, folder)
                process.wait(LIMIT)
                done += 1
                print(f"kill {done}: {way} after {time.monotonic() - begun:.0f} s, checkpoint {step}", flush=True)
                continue
            said = log.read_text(encoding="utf-8")
            if process.returncode and "another training run is alive here" in said:
                print("  a second trainer was refused while the first was alive", flush=True)
                for living in trainers(folder):
                    living.wait(LIMIT)
                continue
            if process.returncode:
                print(f"ended with {process.returncode}:\n{said[-3000:]}", flush=True)
                return False
            found = digests(workspace)
            wrong = sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
            resumed = " from a checkpoint" if "resuming from" in said else ""
            print(f"came to its end{resumed}: {f'DIFFERENT: {wrong}' if wrong else 'equal'}", flush=True)
            fine = fine and not wrong
            if done >= kills:
                break
            workspace.run("git", "checkout", "--quiet", "HEAD", "dvc.lock")
            workspace.run("git", "clean", "-fdxq", "data", "models", "metrics", "checkpoints")
            remove(folder / ".dvc" / "cache")
        print(f"{done} kills; at most {watch.most} trainer at work at a time", flush=True)
        return fine and watch.most == 1


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # what a shell starts in the background inherits deafness to Ctrl-C
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    sys.exit(0 if survive(given.kills, given.seed) else 1)
