"""Upload checkpoints to the Hub during training, in a process of its own (`upload_process`).

A Hub that fails or hangs cannot stop the run or delay it, and huggingface_hub cannot draw from the run's random generators.
"""

import os
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from tqdm import tqdm
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from stages.runtime.errors import MISTAKE
from stages.runtime.files import link, remove

LAST_WAIT = 60.0  # seconds that the end of training waits for an unfinished upload


class UploadCallback(TrainerCallback):
    """Uploads the model of each checkpoint to ``repo_id``, except those saved during another upload.

    The model's files are first linked into ``folder``, because the trainer removes old checkpoints. Only the first failure is reported.
    """

    def __init__(self, repo_id: str, folder: Path, last_wait: float = LAST_WAIT) -> None:
        self._repo_id, self._folder, self._last_wait = repo_id, folder, last_wait
        self._process: subprocess.Popen[str] | None = None
        self._warned = False

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if not state.is_world_process_zero or (self._process and self._process.poll() is None):
            return
        self._settle()
        try:
            remove(self._folder)
            shutil.copytree(
                Path(str(args.output_dir)) / f"checkpoint-{state.global_step}",
                self._folder,
                copy_function=link,
                ignore=shutil.ignore_patterns("*.pt", "*.pth"),
            )
            self._process = subprocess.Popen(
                [sys.executable, "-m", "stages.train.upload_process", str(self._folder), str(state.global_step), self._repo_id],
                env={**os.environ, "HF_HUB_DISABLE_PROGRESS_BARS": "1"},  # bars would fill the pipe
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
            )
        except OSError as error:  # disk or memory is full; the training may still have enough
            self._warn(f"{type(error).__name__}: {error}")

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if self._process:
            try:
                self._process.wait(self._last_wait)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._warn(f"unfinished {self._last_wait:.0f} s after the last step")
        self._settle()
        with suppress(OSError):
            remove(self._folder)

    def _settle(self) -> None:
        """Read the output of the last upload."""
        if self._process:
            _, said = self._process.communicate()
            if self._process.returncode > 0:
                line = said.strip().splitlines()[-1] if self._process.returncode == MISTAKE and said.strip() else "the process crashed"
                self._warn(line.removeprefix("error: ").partition("; ")[0])
            self._process = None

    def _warn(self, reason: str) -> None:
        if not self._warned:
            self._warned = True
            line = f"hub.strategy: a checkpoint was not uploaded ({reason}); training continues and tries later ones"
            with suppress(OSError, ValueError):
                tqdm.write(" ".join(line.split()), file=sys.stderr)
