"""Train the sparse encoder that params.yaml describes: data/mixed + base model → models/final."""

import csv
import logging
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stages.errors import UserError, run_stage
from stages.files import atomic_write, remove, write_json
from stages.params import load_resolved
from stages.schema import Architecture, Loss, Model, Profile, Section, Tracking, Training, Upload, ValidationSettings

if TYPE_CHECKING:
    from stages.encoders.max_pooled_linear import Maxima
    from stages.training.distributed import Processes

MIXED, BASE, MADE = Path("data/mixed/train.parquet"), Path("models/base"), Path("models/made")
FINAL, CURVE, PICTURE = Path("models/final"), Path("models/training.csv"), Path("models/training.png")
SCORES, VALIDATION = Path("models/scores.json"), Path("data/validation")
FINGERPRINT, CHECKPOINTS = Path("models/fingerprint.txt"), Path("checkpoints")
RUNS = Path("runs")  # TensorBoard's event files
LOADER = {"dataloader_num_workers", "dataloader_pin_memory"}
ENGINE = {"bf16", "fp16", "tf32", "optim", *LOADER, "torch_compile", "triton", "split_padding", "num_threads"}
INDIFFERENT = {"resume", "save_total_limit", "launcher", *LOADER, "device"}
"""To the result; of the device, what is chosen counts."""
CODE = (Path("stages/train.py"), Path("stages/training"), Path("stages/encoders"), Path("stages/rows/parquet.py"))


class TrainSettings(Section):
    """resolved/train.yaml."""

    architecture: Architecture
    profile: Profile
    seed: int
    model: Model
    loss: Loss
    training: Training
    tracking: Tracking
    validation: ValidationSettings | None
    upload: Upload | None


def main() -> None:
    from stages.training.launch import as_worker, is_worker, launch

    settings = load_resolved("train", TrainSettings)
    os.environ.setdefault("PYTORCH_ENABLE_MPS_FALLBACK", "1")  # read by torch's import: what MPS lacks runs on CPU, and torch names it
    from stages.training.device import choose_device, cores, gpus

    device = choose_device(settings.training.device)
    if settings.training.launcher == "torchrun" and not is_worker():
        launch("stages.train", settings.training.num_processes, gpus(device), cores())
        return
    with as_worker():
        from stages.training.distributed import joined

        with joined(settings.training.num_processes, device) as processes:
            if processes.first:
                lead(settings, processes, device)
            else:
                told: tuple[Path, Path, Path | None, str] = processes.from_first()
                run(settings, *told, processes)


def lead(settings: TrainSettings, processes: "Processes", device: str) -> None:
    """Train as the first process, or the only one: the one that holds the lock, and writes."""
    from stages.training import checkpoints

    base = MADE if settings.model.base_model == "made" else BASE
    key = checkpoints.fingerprint(
        decisive(settings) | {"device": device}, [MIXED, base, *CODE, *([VALIDATION] if settings.validation else [])]
    )
    folder = CHECKPOINTS / key
    with checkpoints.sole_training(CHECKPOINTS / "lock"), checkpoints.full_disk_in_one_line(folder):
        if settings.training.resume is False:
            remove(folder)
        checkpoints.remove_written(CHECKPOINTS, but=key)
        for other, size in checkpoints.unfinished(CHECKPOINTS, key).items():
            print(f"{other}: a training that was never finished ({size / 1e9:.1f} GB); delete it if you do not want to go back to it")
        folder.mkdir(parents=True, exist_ok=True)
        checkpoints.remove_incomplete(folder)
        resume_from = checkpoints.starting_point(folder, settings.training.resume, key)
        if resume_from:
            print(f"going on from {resume_from} (training.resume=false starts afresh)")
        processes.from_first((base, folder, resume_from, key))
        run(settings, base, folder, resume_from, key, processes)
        (folder / checkpoints.WRITTEN).touch()  # not removed: dvc has not recorded the model yet, and would train anew if it cannot


def decisive(settings: TrainSettings) -> dict[str, Any]:
    """The settings that decide the result: a checkpoint is gone on from only where all of them are as they were."""
    return settings.model_dump(exclude={"tracking": True, "profile": True, "upload": True, "training": INDIFFERENT})


def run(settings: TrainSettings, base: Path, folder: Path, resume_from: Path | None, key: str, processes: "Processes") -> None:
    """Train with checkpoints in ``folder`` and write the model and its training curve."""
    from transformers import set_seed

    from stages.encoders import Options, get_encoder
    from stages.encoders.base_check import require_allowed_code, require_masked_lm_head, require_sound
    from stages.encoders.norbert import lift_code, prepare_base
    from stages.encoders.splade_head import attach
    from stages.evaluation.set_files import read_sets
    from stages.experiment import open_tracker
    from stages.oom import in_one_line
    from stages.plots import draw_training_curve
    from stages.tracking.callbacks import TensorBoardCallback
    from stages.training.arguments import Hyperparameters
    from stages.training.attempt import Attempt
    from stages.training.attention import FLASH, attention_in_one_line, attention_of
    from stages.training.data import Share, open_rows
    from stages.training.device import choose_device, choose_engine
    from stages.training.distributed import gather_negatives
    from stages.training.selection import Validation
    from stages.training.trainer import train
    from stages.training.upload import UploadCallback

    _quiet_libraries()
    device = choose_device(settings.training.device)
    flash = settings.model.attn_implementation == FLASH
    knobs = settings.training.model_dump(include=ENGINE) | ({"split_padding": 0} if flash else {})  # it leaves padding out by itself
    engine = choose_engine(device, processes.count, **knobs)
    print(engine, flush=True)
    scored = settings.loss.distillation != "none"
    rows = processes.after_first(lambda write: open_rows(MIXED, folder / "rows.arrow", scored=scored, write=write))
    if not len(rows.sources):
        raise UserError(f"{MIXED}: holds no batch; a smaller training.per_device_train_batch_size or more data makes one")
    options = Options(
        max_seq_length=settings.model.max_seq_length,
        trust_remote_code=settings.model.base_model in settings.model.trust_remote_code,
        attn_implementation=None if flash else settings.model.attn_implementation,
        device="cpu" if device == "cpu" else None,
        prompts=settings.model.prompts.model_dump(exclude_none=True),
        hidden_dim=settings.model.hidden_dim,
        k=settings.model.k,
        k_aux=settings.model.k_aux,
        whitening=settings.model.whitening,
        mini_batch_size=settings.training.mini_batch_size,
        **settings.loss.model_dump(),
    )
    encoder = get_encoder(settings.architecture)
    validation = None
    if settings.validation:
        wanted = settings.validation
        validation = Validation(
            read_sets(VALIDATION),
            eval_steps=wanted.eval_steps,
            batch_size=wanted.per_device_eval_batch_size,
            metric=wanted.metric_for_best_model,
            patience=wanted.early_stopping_patience,
        )
        if warning := validation.foreign(wanted.languages):
            print(warning, flush=True)
    base = processes.from_first(prepare_base(base, folder) if processes.first else None)
    require_allowed_code(base, settings.model.base_model, options.trust_remote_code)
    if settings.architecture != "csr":
        require_masked_lm_head(base, trust_remote_code=options.trust_remote_code)
    set_seed(settings.seed)
    with in_one_line(Attempt(device, settings.training.gradient_checkpointing)):
        with attention_in_one_line(settings.model.attn_implementation):
            model = encoder.build(base, options, _texts("positive"), _texts("anchor"))
            with attention_of(model, FLASH if flash else None):
                pass  # can it?
        model.prompts.update(options.prompts)
        require_sound(model, base)
        model.to(device)
        for placement in attach(model, _maxima(engine.triton)):
            if not placement.fused:
                print(f"{placement.name}: stock SPLADE head, slower and larger ({placement.reason})", flush=True)
    shared = settings.training.model_dump(include=set(Hyperparameters.__annotations__) - {*engine.arguments(), "device", "flash_attention"})
    parameters = Hyperparameters(**shared, seed=settings.seed, device=device, flash_attention=flash, **engine.arguments())
    loss = encoder.make_loss(model, options)
    gather = settings.training.gather_negatives and processes.count > 1
    if gather:
        gather_negatives(loss)
    share = Share(processes.index, processes.count, of_each_batch=gather)
    with open_tracker(key) as tracker:
        watchers = [tracker.callback()]
        if settings.tracking.tensorboard:
            watchers.append(TensorBoardCallback(RUNS / key))
        if settings.upload:
            watchers.append(UploadCallback(settings.upload.model_id, folder / "upload"))
        trained = train(
            model, loss, encoder, rows, parameters,
            checkpoints=folder, resume_from=resume_from, key=key, validation=validation, callbacks=watchers, share=share,
        )  # fmt: skip
    processes.wait()
    if not processes.first:
        return
    if validation and trained.best_step:
        score = next(entry[validation.decisive] for entry in trained.log if entry["step"] == trained.best_step)
        print(f"the model is that of step {trained.best_step}, the best by {validation.decisive}: {score:.4f}", flush=True)
    write_json(SCORES, {"batch_size": validation.batch_size, "sets": trained.scores} if validation else {})
    with atomic_write(CURVE) as temporary:
        write_curve(trained.log, temporary)
    with atomic_write(PICTURE) as temporary:
        draw_training_curve(CURVE, temporary)
    with atomic_write(FINGERPRINT) as temporary:
        temporary.write_text(f"{key}\n", encoding="utf-8")
    with atomic_write(FINAL) as temporary:
        model.save_pretrained(str(temporary), create_model_card=False)
        lift_code(temporary)


def _maxima(triton: bool) -> "Maxima | None":
    """What makes the maxima of the SPLADE head; None: torch's own operations."""
    if not triton:
        return None
    from stages.encoders.triton_maxima import triton_maxima

    return triton_maxima


def _texts(column: str) -> Iterator[str]:
    from stages.rows.parquet import read_tables

    return (text for rows in read_tables(MIXED, [column]) for text in rows[column].to_pylist())


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


if __name__ == "__main__":
    run_stage(main)
