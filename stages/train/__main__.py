"""Train the sparse encoder that params.yaml describes: data/mixed + base model → models/final."""

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stages.config.params import load_resolved
from stages.config.schema import Training
from stages.config.settings import TrainSettings
from stages.runtime.errors import run_stage
from stages.runtime.files import remove
from stages.train import checkpoints
from stages.train.checkpoints import CHECKPOINTS

if TYPE_CHECKING:
    from stages.train.distributed import Processes

BASE, MADE = Path("models/base"), Path("models/made")
LOCK = Path("dvc.lock")
CODE = tuple(Path("stages", room) for room in ("train", "encoders", "pretrained", "retrieval", "rows"))


def main() -> str | None:
    from stages.train.launch import as_worker, is_worker, launch

    settings = load_resolved("train", TrainSettings)
    os.environ.setdefault("PYTORCH_ENABLE_MPS_FALLBACK", "1")  # read when torch is imported: what MPS lacks runs on CPU, with a warning
    from stages.runtime.device import choose_device, cores, gpus

    device = choose_device(settings.training.device)
    if settings.training.launcher == "torchrun" and not is_worker():
        launch("stages.train", settings.training.num_processes, gpus(device), cores())
        return None  # rank 0 has printed the summary
    with as_worker():
        from stages.train.distributed import joined

        with joined(settings.training.num_processes, device) as processes:
            from stages.encoders.attention import FLASH
            from stages.train.device import choose_engine
            from stages.train.run import run

            head, flash = settings.architecture != "csr", settings.model.attn_implementation == FLASH
            training, line = choose_engine(settings.training, device, processes.count, splade_head=head, flash_attention=flash)
            print(line, flush=True)
            if processes.first:
                return lead(settings, training, processes)
            from_lead: tuple[Path, Path, Path | None, str] = processes.from_first()
            run(settings, training, *from_lead, processes)
            return None


def lead(settings: TrainSettings, training: Training, processes: "Processes") -> str:
    """Train as rank 0, which holds the lock and writes; return the stage's summary. ``training``: resolved for the device."""
    from stages.train.run import MIXED, VALIDATION, run

    base = MADE if settings.model.from_make_base else BASE
    chosen = {"device": training.device, "triton": training.triton}
    key = checkpoints.fingerprint(decisive(settings) | chosen, [MIXED, base, *CODE, *([VALIDATION] if settings.validation else [])])
    folder = CHECKPOINTS / key
    with checkpoints.sole_training(CHECKPOINTS / "lock"), checkpoints.full_disk_errors(folder):
        if settings.training.resume is False or ((folder / checkpoints.WRITTEN).exists() and recorded(key)):
            remove(folder)
        for finished in checkpoints.written(CHECKPOINTS) - {key}:
            remove(CHECKPOINTS / finished)
        for other, size in checkpoints.unfinished(CHECKPOINTS, key).items():
            print(f"{other}: checkpoints of an unfinished training run ({size / 1e9:.1f} GB); delete them if you will not resume it")
        folder.mkdir(parents=True, exist_ok=True)
        checkpoints.remove_incomplete(folder)
        resume_from = checkpoints.starting_point(folder, settings.training.resume, key)
        if resume_from:
            print(f"resuming from {resume_from} (training.resume=false starts afresh)", flush=True)
        processes.from_first((base, folder, resume_from, key))
        (folder / checkpoints.WRITTEN).unlink(missing_ok=True)
        try:
            summary = run(settings, training, base, folder, resume_from, key, processes)
        except KeyboardInterrupt as interrupt:
            starts_afresh = settings.training.resume is False
            interrupt.add_note("`dvc repro` starts afresh" if starts_afresh else checkpoints.next_run(folder))
            raise
        (folder / checkpoints.WRITTEN).touch()  # the next training run removes it: dvc has not recorded the model yet
    return summary


def recorded(key: str) -> bool:
    """Whether dvc has recorded the model of this run. If so, dvc starts it again only on request (`dvc repro -sf train`)."""
    digest = hashlib.md5(f"{key}\n".encode(), usedforsecurity=False).hexdigest()  # of models/fingerprint.txt
    return LOCK.exists() and digest in LOCK.read_text(encoding="utf-8")


def decisive(settings: TrainSettings) -> dict[str, Any]:
    """The settings that decide the result: a checkpoint is resumed only if all of them are unchanged.

    Without ``device`` and ``triton``: the resolved ones are part of the fingerprint, and the caller adds them.
    """
    left_out = {*Training.RUNNING, "device", "triton"}
    return settings.model_dump(exclude={"tracking": True, "profile": True, "upload": True, "training": left_out})


if __name__ == "__main__":
    run_stage(main)
