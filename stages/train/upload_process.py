"""Upload the model of one checkpoint: ``python -m stages.train.upload_process FOLDER STEP REPOSITORY``."""

import sys
from pathlib import Path

from stages.runtime.errors import run_stage


def main(folder: str, step: str, repo_id: str) -> None:
    from stages.hub.publish import publish_checkpoint

    publish_checkpoint(Path(folder), int(step), repo_id)


if __name__ == "__main__":
    run_stage(lambda: main(*sys.argv[1:]))
