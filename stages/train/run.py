"""One process of a training run, from settings to results: build the model, train it, write it with its curve."""

import csv
from collections.abc import Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from sentence_transformers import SparseEncoder
from transformers import TrainerCallback

from stages.config.schema import Training
from stages.config.settings import TrainSettings
from stages.encoders.attention import FLASH
from stages.encoders.building import ENCODERS, build
from stages.pretrained.norbert import lift_code, prepare_base
from stages.retrieval.sets import read_sets
from stages.retrieval.treatment import Treatment
from stages.retrieval.windows import Windows
from stages.rows.parquet import read_tables, texts
from stages.runtime.errors import UserError
from stages.runtime.files import atomic_write
from stages.runtime.oom import memory_errors
from stages.runtime.quiet import quiet_libraries
from stages.tracking.progress import ProgressFile
from stages.tracking.run import Tracker, open_tracker
from stages.train.attempt import Attempt
from stages.train.data import Share, open_rows
from stages.train.distributed import Processes, gather_negatives
from stages.train.pictures import draw_training_curve
from stages.train.progress import describe
from stages.train.selection import Validation
from stages.train.trainer import Trained, train
from stages.train.upload import UploadCallback

MIXED, VALIDATION = Path("data/mixed/train.parquet"), Path("data/validation")
FINAL, FINGERPRINT = Path("models/final"), Path("models/fingerprint.txt")
CURVE, PICTURE = Path("models/training.csv"), Path("models/training.png")
RUNS = Path("runs")  # TensorBoard's event files
LOOKED_AT = 1_000  # rows that tell what share of the positives is too long


def run(
    settings: TrainSettings, training: Training, base: Path, folder: Path, resume_from: Path | None, key: str, processes: Processes
) -> str:
    """Train with checkpoints in ``folder``; rank 0 writes the model and its training curve. Returns the stage's summary.

    Args:
        training: the section of ``settings`` as resolved for the device.
        base: folder of the model to start from.
        resume_from: checkpoint to resume from.
        key: fingerprint of the training run.
    """
    quiet_libraries()
    scored = settings.loss.distillation != "none"
    treatment = Treatment(settings.model.long_documents, settings.model.window, settings.model.overlap)
    validation = _read_validation(settings, treatment)
    base = processes.from_first(prepare_base(base, folder) if processes.first else None)
    encoder = ENCODERS[settings.architecture]
    with memory_errors(Attempt(training.device, training.gradient_checkpointing)):
        model = build(
            settings, base, partial(texts, MIXED), training.device, triton=bool(training.triton), split_padding=training.split_padding or 0
        )
    windows = Windows.of(model, treatment)
    if validation and validation.active_dims and processes.first:  # only rank 0 scores, and writes the model
        validation.start(model)
    if windows and processes.first:
        _count_long(windows, treatment)
    kept = None if treatment.long_documents == "cut" else windows
    rows = processes.after_first(lambda write: open_rows(MIXED, folder / "rows.arrow", scored=scored, write=write, windows=kept))
    if not len(rows.sources):
        raise UserError(f"{MIXED}: has no batch; lower training.per_device_train_batch_size or add data")
    loss = encoder.make_loss(model, settings.loss, training.mini_batch_size)
    gather = training.gather_negatives and processes.count > 1
    if gather:
        gather_negatives(loss)
    share = Share(processes.index, processes.count, of_each_batch=gather)
    with open_tracker(key) as mlflow, Tracker(f"tensorboard:{RUNS / key}" if settings.tracking.tensorboard else None) as tensorboard:
        watchers: list[TrainerCallback] = [mlflow, tensorboard, ProgressFile(validation.decisive if validation else None)]
        if settings.upload:
            watchers.append(UploadCallback(settings.upload.model_id, folder / "upload"))
        trained = train(
            model, loss, encoder, rows, training, seed=settings.seed, flash_attention=settings.model.attn_implementation == FLASH,
            checkpoints=folder, resume_from=resume_from, key=key, validation=validation, callbacks=watchers, share=share,
        )  # fmt: skip
    processes.wait()
    if processes.first:
        batch_size = training.per_device_train_batch_size * training.gradient_accumulation_steps * processes.count
        _write(model, treatment, trained, validation, key, batch_size)
    return summary(trained, validation)


def _count_long(windows: Windows, treatment: Treatment) -> None:
    """Print the share of the positives that are too long, in the first rows, which mix has shuffled."""
    tables = islice(read_tables(MIXED, ["positive"]), 1)
    first = [text for table in tables for text in table["positive"].to_pylist()[:LOOKED_AT]]
    if share := round(len(windows.long(first)) / max(1, len(first)), 2):
        cut = treatment.long_documents == "cut"
        done = "are cut; set model.long_documents to max_score" if cut else "give the window that fits their query best"
        print(
            f"{share:.0%} of the positives (of the first {len(first):,} rows) have more than {windows.length} tokens and {done}", flush=True
        )


def _read_validation(settings: TrainSettings, treatment: Treatment) -> Validation | None:
    """What chooses the best checkpoint; None without training.eval_steps."""
    if not (wanted := settings.validation):
        return None
    validation = Validation(
        read_sets(VALIDATION / "sets.json"),
        eval_steps=wanted.eval_steps,
        batch_size=wanted.per_device_eval_batch_size,
        metric=wanted.metric_for_best_model,
        patience=wanted.early_stopping_patience,
        treatment=treatment,
        active_dims=sorted({*settings.loss.nested_k, settings.model.k}) if settings.architecture == "csr" else (),
    )
    if warning := validation.foreign(wanted.languages):
        print(warning, flush=True)
    return validation


def _write(model: SparseEncoder, treatment: Treatment, trained: Trained, validation: Validation | None, key: str, batch_size: int) -> None:
    """Write the stage's outputs to models/."""
    with atomic_write(CURVE) as temporary:
        write_curve(trained.log, temporary)
    with atomic_write(PICTURE) as temporary:
        draw_training_curve(CURVE, temporary, batch_size, validation.labels() if validation else {})
    with atomic_write(FINGERPRINT) as temporary:
        temporary.write_text(f"{key}\n", encoding="utf-8")
    with atomic_write(FINAL) as temporary:
        model.save_pretrained(str(temporary), create_model_card=False)
        lift_code(temporary)
        treatment.write(temporary)


def summary(trained: Trained, validation: Validation | None) -> str:
    """The stage's line on the terminal: steps, the last loss and active dimensions, the step chosen, where the model is."""
    last: dict[str, float] = {}
    for entry in trained.log:
        last |= entry
    parts = [f"{trained.steps} steps", *filter(None, [describe(last)])]
    if validation and trained.best_step == 0:
        parts.append("no step that was evaluated was better than the untrained encoder, which is kept")
    elif validation and trained.best_step:
        score = next(entry[validation.decisive] for entry in trained.log if entry["step"] == trained.best_step)
        parts.append(f"best step {trained.best_step} with {validation.decisive} {score:.4f}")
    return f"{', '.join(parts)}; the model is in {FINAL}"


def write_curve(log: Sequence[dict[str, Any]], path: Path) -> None:
    """Write the training curve as CSV: step, loss and its terms, learning rate, scores on the validation sets."""
    columns = ["step", *sorted({key for entry in log for key in entry} - {"step", "epoch"})]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(log)
