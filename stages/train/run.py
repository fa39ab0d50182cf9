"""One process's part in a training, from settings to results: build the model, train it, write it with its curve."""

import csv
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from sentence_transformers import SparseEncoder
from transformers import TrainerCallback, set_seed

from stages.config.schema import Training
from stages.config.settings import TrainSettings
from stages.encoders import get_encoder
from stages.encoders.fast.max_pooled_linear import Maxima
from stages.encoders.fast.model import make_fast
from stages.pretrained.base_check import require_sound
from stages.pretrained.check import require_weights
from stages.pretrained.files import Use, require_positions, task_of
from stages.pretrained.norbert import lift_code, prepare_base
from stages.pretrained.own_code import require_allowed_code
from stages.retrieval.set_files import read_sets
from stages.rows.parquet import read_tables
from stages.runtime.errors import UserError
from stages.runtime.files import atomic_write
from stages.runtime.oom import in_one_line
from stages.tracking.run import Tracker, open_tracker
from stages.train.attempt import Attempt
from stages.train.attention import FLASH, attention_in_one_line, attention_of
from stages.train.data import Share, open_rows
from stages.train.distributed import Processes, gather_negatives
from stages.train.pictures import draw_training_curve
from stages.train.selection import Validation
from stages.train.trainer import Trained, train
from stages.train.upload import UploadCallback

MIXED, VALIDATION = Path("data/mixed/train.parquet"), Path("data/validation")
FINAL, FINGERPRINT = Path("models/final"), Path("models/fingerprint.txt")
CURVE, PICTURE = Path("models/training.csv"), Path("models/training.png")
RUNS = Path("runs")  # TensorBoard's event files


def run(
    settings: TrainSettings, training: Training, base: Path, folder: Path, resume_from: Path | None, key: str, processes: Processes
) -> None:
    """Train with checkpoints in ``folder``; the first process writes the model and its training curve.

    Args:
        training: the section of ``settings`` as resolved for the device.
        base: folder of the model to start from.
        resume_from: checkpoint to go on from.
        key: the training's fingerprint.
    """
    _quiet_libraries()
    scored = settings.loss.distillation != "none"
    rows = processes.after_first(lambda write: open_rows(MIXED, folder / "rows.arrow", scored=scored, write=write))
    if not len(rows.sources):
        raise UserError(f"{MIXED}: holds no batch; a smaller training.per_device_train_batch_size or more data makes one")
    validation = _read_validation(settings)
    base = processes.from_first(prepare_base(base, folder) if processes.first else None)
    encoder = get_encoder(settings.architecture)
    set_seed(settings.seed)
    model = build(settings, base, training.device, triton=bool(training.triton), split_padding=training.split_padding or 0)
    loss = encoder.make_loss(model, settings.loss, training.mini_batch_size)
    gather = training.gather_negatives and processes.count > 1
    if gather:
        gather_negatives(loss)
    share = Share(processes.index, processes.count, of_each_batch=gather)
    with open_tracker(key) as mlflow, Tracker(f"tensorboard:{RUNS / key}" if settings.tracking.tensorboard else None) as tensorboard:
        watchers: list[TrainerCallback] = [mlflow, tensorboard]
        if settings.upload:
            watchers.append(UploadCallback(settings.upload.model_id, folder / "upload"))
        trained = train(
            model, loss, encoder, rows, training, seed=settings.seed, flash_attention=settings.model.attn_implementation == FLASH,
            checkpoints=folder, resume_from=resume_from, key=key, validation=validation, callbacks=watchers, share=share,
        )  # fmt: skip
    processes.wait()
    if processes.first:
        _write(model, trained, validation, key)


def _read_validation(settings: TrainSettings) -> Validation | None:
    """What chooses the best checkpoint, where that is asked for."""
    if not (wanted := settings.validation):
        return None
    validation = Validation(
        read_sets(VALIDATION),
        eval_steps=wanted.eval_steps,
        batch_size=wanted.per_device_eval_batch_size,
        metric=wanted.metric_for_best_model,
        patience=wanted.early_stopping_patience,
    )
    if warning := validation.foreign(wanted.languages):
        print(warning, flush=True)
    return validation


def build(settings: TrainSettings, base: Path, device: str, *, triton: bool = False, split_padding: int = 0) -> SparseEncoder:
    """The model to be trained, on its device and with our head; what it has to do without is printed."""
    section = settings.model
    task = task_of(base, "base", settings.architecture)
    use = Use("model.base_model", section.base_model, task, section.trust_remote_code, section.max_seq_length)
    require_allowed_code(base, use)
    require_positions(base, use)
    if settings.architecture != "csr":
        require_weights(base, use)
    with in_one_line(Attempt(device, settings.training.gradient_checkpointing)):
        with attention_in_one_line(section.attn_implementation):
            model = get_encoder(settings.architecture).build(base, section, _texts("positive"), _texts("anchor"), device)
            with attention_of(model, FLASH if section.attn_implementation == FLASH else None):
                pass  # can it?
        model.prompts.update(section.prompts.given())
        require_sound(model, base)
        model.to(device)
        for note in make_fast(model, _kernel() if triton else None, split_padding):
            print(note, flush=True)
    return model


def _kernel() -> Maxima:
    from stages.encoders.fast.triton_maxima import triton_maxima  # only Linux has Triton

    return triton_maxima


def _texts(column: str) -> Iterator[str]:
    return (text for rows in read_tables(MIXED, [column]) for text in rows[column].to_pylist())


def _write(model: SparseEncoder, trained: Trained, validation: Validation | None, key: str) -> None:
    """What the stage is expected to leave in models/."""
    if validation and trained.best_step:
        score = next(entry[validation.decisive] for entry in trained.log if entry["step"] == trained.best_step)
        print(f"the model is that of step {trained.best_step}, the best by {validation.decisive}: {score:.4f}", flush=True)
    with atomic_write(CURVE) as temporary:
        write_curve(trained.log, temporary)
    with atomic_write(PICTURE) as temporary:
        draw_training_curve(CURVE, temporary)
    with atomic_write(FINGERPRINT) as temporary:
        temporary.write_text(f"{key}\n", encoding="utf-8")
    with atomic_write(FINAL) as temporary:
        model.save_pretrained(str(temporary), create_model_card=False)
        lift_code(temporary)


def write_curve(log: Sequence[dict[str, Any]], path: Path) -> None:
    """The training curve as CSV: step, loss and its terms, learning rate, scores on the validation sets."""
    columns = ["step", *sorted({key for entry in log for key in entry} - {"step", "epoch"})]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(log)


def _quiet_libraries() -> None:
    """Warnings of the libraries that a user can do nothing about."""
    logging.getLogger("transformers.tokenization_utils_base").setLevel(logging.ERROR)
