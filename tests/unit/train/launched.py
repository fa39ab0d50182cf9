"""What test_launch starts in several processes: it succeeds, fails by a user error or a bug, or waits."""

import os
import sys
import time
from pathlib import Path

from stages.runtime.errors import UserError
from stages.train.launch import as_worker, is_worker, launch

FOLDER, WHAT = Path(os.environ.get("LAUNCHED_FOLDER", ".")), os.environ.get("LAUNCHED", "")


def member() -> None:
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "OMP_NUM_THREADS")
    (FOLDER / f"{os.getpid()}").write_text(" ".join(os.environ[name] for name in names))
    if WHAT == "mistake":
        raise UserError("params.yaml: seed: is wrong; change it")
    if WHAT == "bug" and os.environ["RANK"] == "1":
        sys.exit(3)
    if WHAT in ("wait", "bug"):
        time.sleep(300)


if __name__ == "__main__":
    if is_worker():
        with as_worker():
            member()
    else:
        launch("tests.unit.train.launched", 2, gpus=0, cores=6)
