"""Train the sparse encoder that params.yaml describes: data/mixed + base model → models/final."""

import csv
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stages.errors import UserError, run_stage
from stages.files import atomic_write, remove
from stages.params import load_resolved
from stages.schema import Architecture, Loss, Model, Profile, Section, Tracking, Training

if TYPE_CHECKING:
    from stages.training.distributed import Processes

MIXED, BASE, MADE = Path("data/mixed/train.parquet"), Path("models/base"), Path("models/made")
FINAL, CURVE, PICTURE = Path("models/final"), Path("models/training.csv"), Path("models/training.png")
FINGERPRINT, CHECKPOINTS = Path("models/fingerprint.txt"), Path("checkpoints")
RUNS = Path("runs")  # TensorBoard's event files
ENGINE = {"bf16", "fp16", "tf32", "optim", "dataloader_num_workers", "dataloader_pin_memory", "torch_compile", "num_threads"}
INDIFFERENT = {"resume", "save_total_limit", "launcher", "dataloader_num_workers", "dataloader_pin_memory"}  # to the result
CODE = (Path("stages/training"), Path("stages/encoders"))


class TrainSettings(Section):
    """resolved/train.yaml."""

    architecture: Architecture
    profile: Profile
    seed: int
    model: Model
    loss: Loss
    training: Training
    tracking: Tracking


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
                lead(settings, processes)
            else:
                told: tuple[Path, Path, Path | None, str] = processes.from_first()
                run(settings, *told, processes)


def lead(settings: TrainSettings, processes: "Processes") -> None:
    """Train as the first process, or the only one: the one that holds the lock, and writes."""
    from stages.training.checkpoints import fingerprint, last_complete, sole_training

    base = MADE if settings.model.base_model == "made" else BASE
    decisive = settings.model_dump(exclude={"tracking": True, "profile": True, "training": INDIFFERENT})
    key = fingerprint(decisive, [MIXED, base, *CODE])
    with sole_training(CHECKPOINTS / "lock"):
        folder = CHECKPOINTS / key
        if not settings.training.resume:
            remove(folder)
        folder.mkdir(parents=True, exist_ok=True)
        resume_from = last_complete(folder)
        if resume_from:
            print(f"going on from {resume_from} (training.resume=false starts afresh)")
        processes.from_first((base, folder, resume_from, key))
        run(settings, base, folder, resume_from, key, processes)
        remove(folder)


def run(settings: TrainSettings, base: Path, folder: Path, resume_from: Path | None, key: str, processes: "Processes") -> None:
    """Train with checkpoints in ``folder`` and write the model and its training curve."""
    from transformers import set_seed

    from stages.encoders import Options, get_encoder
    from stages.encoders.base_check import require_allowed_code, require_masked_lm_head, require_sound
    from stages.encoders.norbert import lift_code, prepare_base
    from stages.encoders.splade_head import attach
    from stages.experiment import open_tracker
    from stages.plots import draw_training_curve
    from stages.rows.parquet import read_tables
    from stages.tracking.callbacks import TensorBoardCallback
    from stages.training.data import Share, open_rows
    from stages.training.device import attention_in_one_line, choose_device, choose_engine
    from stages.training.distributed import gather_negatives
    from stages.training.trainer import Hyperparameters, train

    _quiet_libraries()
    device = choose_device(settings.training.device)
    engine = choose_engine(device, processes.count, **settings.training.model_dump(include=ENGINE))
    print(engine, flush=True)
    rows = processes.after_first(lambda write: open_rows(MIXED, folder / "rows.arrow", write=write))
    if not len(rows.sources):
        raise UserError(f"{MIXED}: holds no batch; a smaller training.per_device_train_batch_size or more data makes one")
    options = Options(
        max_seq_length=settings.model.max_seq_length,
        trust_remote_code=settings.model.base_model in settings.model.trust_remote_code,
        attn_implementation=settings.model.attn_implementation,
        hidden_dim=settings.model.hidden_dim,
        k=settings.model.k,
        k_aux=settings.model.k_aux,
        **settings.loss.model_dump(),
    )
    encoder = get_encoder(settings.architecture)
    base = processes.from_first(prepare_base(base, folder) if processes.first else None)
    require_allowed_code(base, settings.model.base_model, options.trust_remote_code)
    if settings.architecture != "csr":
        require_masked_lm_head(base, trust_remote_code=options.trust_remote_code)
    set_seed(settings.seed)
    positives = (text for rows in read_tables(MIXED, ["positive"]) for text in rows["positive"].to_pylist())
    with attention_in_one_line(options.attn_implementation):
        model = encoder.build(base, options, positives)
    require_sound(model, base)
    model.to(device)
    for placement in attach(model):
        if not placement.fused:
            print(f"{placement.name}: stock SPLADE head, slower and larger ({placement.reason})", flush=True)
    shared = settings.training.model_dump(include=set(Hyperparameters.__annotations__) - {*engine.arguments(), "device"})
    parameters = Hyperparameters(**shared, seed=settings.seed, device=device, **engine.arguments())
    loss = encoder.make_loss(model, options)
    gather = settings.training.gather_negatives and processes.count > 1
    if gather:
        gather_negatives(loss)
    share = Share(processes.index, processes.count, of_each_batch=gather)
    with open_tracker(key) as tracker:
        watchers = [tracker.callback()]
        if settings.tracking.tensorboard:
            watchers.append(TensorBoardCallback(RUNS / key))
        log = train(model, loss, encoder, rows, parameters, checkpoints=folder, resume_from=resume_from, callbacks=watchers, share=share)
    processes.wait()
    if not processes.first:
        return
    with atomic_write(CURVE) as temporary:
        write_curve(log, temporary)
    with atomic_write(PICTURE) as temporary:
        draw_training_curve(CURVE, temporary)
    with atomic_write(FINGERPRINT) as temporary:
        temporary.write_text(f"{key}\n", encoding="utf-8")
    with atomic_write(FINAL) as temporary:
        model.save_pretrained(str(temporary), create_model_card=False)
        lift_code(temporary)


def write_curve(log: Sequence[dict[str, Any]], path: Path) -> None:
    """The training curve as CSV: step, loss and its terms, learning rate."""
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
