"""The real trainer, killed ten times at random moments, gives the same bytes as an uninterrupted one.

`python -m tests.pipeline.survive` does the same with the whole pipeline.
"""

import hashlib
import json
import math
import multiprocessing
import os
import random
import signal
import time
from pathlib import Path

import pytest
import torch
from sentence_transformers import SparseEncoder

from stages.runtime.files import remove
from stages.train.checkpoints import remove_incomplete, sole_training, starting_point
from stages.train.selection import Validation
from tests.refused import refused
from tests.unit.train.conftest import Run
from tests.unit.train.test_selection import METRIC, SET

KILLS = 10
FORKED = multiprocessing.get_context("fork")  # a fresh process would import for seconds


class Wavering(Validation):
    """A score that varies with the weights; the real one soon stays at 1 on this set."""

    def score(self, model: SparseEncoder) -> dict[str, float]:
        return super().score(model) | {METRIC: math.sin(1e3 * sum(float(weight.detach().sum()) for weight in model.parameters()))}


def stage(run: Run, folder: Path) -> None:
    """Train with checkpoints like the train stage; write the model and the log to ``folder``/final."""
    torch.set_num_threads(1)
    with sole_training(folder / "lock"):
        checkpoints = folder / "checkpoints"
        checkpoints.mkdir(exist_ok=True)
        remove_incomplete(checkpoints)
        validation = Wavering([SET], eval_steps=3, batch_size=8)
        model, trained = run(validation=validation, save_steps=2, resume_from=starting_point(checkpoints, True, "key"))
        model.save_pretrained(str(folder / "final"), create_model_card=False)
        (folder / "final" / "log.json").write_text(json.dumps([trained.log, trained.best_step], sort_keys=True))


def start(run: Run, folder: Path) -> multiprocessing.process.BaseProcess:
    process = FORKED.Process(target=stage, args=(run, folder))
    process.start()
    return process


def digests(folder: Path) -> dict[str, str]:
    files = [path for path in (folder / "final").rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def reached(folder: Path) -> int:
    return max((int(path.name.split("-")[1]) for path in (folder / "checkpoints").glob("checkpoint-*")), default=0)


@pytest.mark.slow
def test_ten_kills_at_random_moments_do_not_change_a_byte(run: Run, tmp_path: Path) -> None:
    chance = random.Random(0)
    process = start(run, tmp_path)
    process.join(300)
    assert process.exitcode == 0
    expected = digests(tmp_path)
    assert {"final/model.safetensors", "final/log.json"} <= set(expected)
    remove(tmp_path / "checkpoints")
    remove(tmp_path / "final")
    kills = resumed = locked_out = 0
    for _ in range(5 * KILLS):
        before = reached(tmp_path)
        process = start(run, tmp_path)
        at, pause = before + chance.randint(1, 4), chance.uniform(0, 0.2)
        deadline = time.monotonic() + 300
        while process.is_alive() and not (kills < KILLS and reached(tmp_path) >= at):
            assert time.monotonic() < deadline
            time.sleep(0.002)
        time.sleep(pause)
        if process.is_alive():
            os.kill(process.pid or 0, signal.SIGSTOP)
            if kills % 3 == 0 and reached(tmp_path) >= at and not (tmp_path / "final").exists():  # the run holds the lock
                with refused("another training run is alive"), sole_training(tmp_path / "lock"):
                    pass
                locked_out += 1
            os.kill(process.pid or 0, signal.SIGINT if kills % 4 == 3 else signal.SIGKILL)
            os.kill(process.pid or 0, signal.SIGCONT)
        process.join(300)
        resumed += before > 0
        if process.exitcode == 0:
            assert digests(tmp_path) == expected
            if kills >= KILLS:
                break
            remove(tmp_path / "checkpoints")
            remove(tmp_path / "final")
        else:
            kills += 1
    else:
        pytest.fail(f"{kills} kills in {5 * KILLS} starts")
    assert resumed >= KILLS // 2 and locked_out >= 1
