"""The training run: sentence-transformers' trainer on the mixed batches, resumed from a checkpoint if there is one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate.data_loader import prepare_data_loader
from accelerate.utils import broadcast_object_list
from datasets import Dataset
from safetensors.torch import load_file, save_file
from sentence_transformers import SparseEncoder, SparseEncoderTrainer
from sentence_transformers.base.modules import Transformer
from sentence_transformers.base.sampler import BatchSampler
from sentence_transformers.sparse_encoder.callbacks.splade_callbacks import SpladeRegularizerWeightSchedulerCallback
from sentence_transformers.sparse_encoder.losses import CachedSpladeLoss, SpladeLoss
from torch.utils.data import DataLoader
from transformers import PrinterCallback, TrainerCallback, TrainerState

from stages.config.schema import Training
from stages.encoders.active_dims import autoencoder_of
from stages.encoders.attention import FLASH, attention_of, model_attention
from stages.encoders.encoder import Encoder
from stages.pretrained.norbert import lift_code
from stages.runtime.checkpoint import STATE
from stages.runtime.oom import memory_errors
from stages.train.arguments import prompts, routes, training_arguments
from stages.train.attempt import Attempt
from stages.train.checkpoints import OWNER, find_step
from stages.train.data import WHOLE, MixedBatchSampler, MixedCollator, Share, TrainingRows
from stages.train.distributed import OwnDropout, freeze_unused, share_activity
from stages.train.progress import Progress
from stages.train.selection import PREFIX, SelectionCallback, Validation
from stages.train.sparsity import SparsityCallback, load_loss_state, loss_state

LOSS_STATE = "loss_state.safetensors"  # in a checkpoint, next to the model


@dataclass(frozen=True)
class Trained:
    """The results of a training run, apart from the model.

    Attributes:
        steps: number of optimiser steps.
        log: one mapping per logged step, with ``step``, the loss and its terms and, if the step was evaluated, its scores.
        best_step: the step whose weights the model has, 0 for those before the first; None without validation, which leaves the last.
    """

    steps: int
    log: list[dict[str, float]]
    best_step: int | None


class Trainer(SparseEncoderTrainer):
    """sentence-transformers' trainer, with ready-made batches and without its automatic model card and training_args.bin.

    That card holds training rows and times, and its code fails on a null negative.
    """

    def __init__(
        self, *, rows: TrainingRows, share: Share, loss: torch.nn.Module, validation: Validation | None, key: str, **kwargs: Any
    ) -> None:
        self._rows, self._share, self._loss, self._validation, self._key = rows, share, loss, validation, key
        # Not None, which the base class refuses; `evaluate` below does the work.
        super().__init__(train_dataset=rows.texts, loss=loss, evaluator=[] if validation else None, **kwargs)
        self.own_attention = model_attention(self.model)
        self.attempt = Attempt(
            self.args.device.type,
            bool(self.args.activation_checkpointing) or is_frozen(self.model),
            mini_batches=isinstance(loss, CachedSpladeLoss),
            dimensions=self.model.get_embedding_dimension(),
        )

    def get_batch_sampler(self, dataset: Any, *args: Any, **kwargs: Any) -> BatchSampler:
        return MixedBatchSampler(self._rows, self.args.seed, self._share)

    def get_train_dataloader(self) -> DataLoader[Any]:
        if self._share.count == 1:
            return super().get_train_dataloader()
        # The sampler gives this process its share; accelerate would split that again.
        loader = self._build_dataloader(self.train_dataset, self.args.train_batch_size, dataset_kind="train")
        self._train_dataloader: DataLoader[Any] = prepare_data_loader(
            loader, self.args.device, 1, 0, put_on_device=True, non_blocking=self.args.dataloader_pin_memory
        )
        return self._train_dataloader

    def collect_features(self, inputs: dict[str, Any]) -> tuple[list[dict[str, Any]], Any]:
        features, labels = super().collect_features(inputs)
        self.attempt.see(features)
        return features, labels

    def add_model_card_callback(self, default_args_dict: Mapping[str, Any]) -> None:
        pass

    def _save_checkpoint(self, model: torch.nn.Module, trial: Any) -> None:
        share_activity(self.model)  # every process resumes from what rank 0 saves
        super()._save_checkpoint(model, trial)

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        if not self.args.should_save:  # called in every process; only rank 0 writes
            return
        folder = Path(str(output_dir or self.args.output_dir))
        (folder / STATE).unlink(missing_ok=True)  # of an earlier save of this step: this save would count as complete too soon
        self.model.save_pretrained(str(folder), create_model_card=False)
        lift_code(folder)
        if state := loss_state(self._loss):
            save_file(state, folder / LOSS_STATE)
        (folder / OWNER).write_text(f"{self._key}\n", encoding="utf-8")

    def _save_rng_state(self, output_dir: str) -> None:
        super()._save_rng_state(output_dir)
        if torch.distributed.is_initialized():
            torch.distributed.barrier()  # every rank's RNG state must be there before trainer_state.json marks it complete

    def _load_from_checkpoint(self, checkpoint_path: str) -> None:  # type: ignore[override]
        super()._load_from_checkpoint(checkpoint_path)
        if (path := Path(checkpoint_path) / LOSS_STATE).exists():
            load_loss_state(self._loss, load_file(path))

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Score on `Validation` in rank 0 and broadcast; unlike the base class's evaluation, this draws no random number."""
        assert self._validation
        self.attempt.evaluating = True
        with attention_of(self.model, self.own_attention):
            scores = self._validation.score(self.model) if self.is_world_process_zero() else {}
        self.attempt.evaluating = False
        scores = broadcast_object_list([scores])[0]
        self.log(dict(scores))
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, scores)
        return scores

    def load(self, checkpoint: Path) -> None:
        """Give the model the weights of ``checkpoint``; unlike `_load_best_model`, a failure is an error."""
        self._load_from_checkpoint(str(checkpoint))


def is_frozen(model: SparseEncoder) -> bool:
    """Whether every transformer of ``model`` is frozen, as in csr."""
    transformers = [module for module in model.modules() if isinstance(module, Transformer)]
    return not any(parameter.requires_grad for module in transformers for parameter in module.parameters())


def train(
    model: SparseEncoder,
    loss: torch.nn.Module,
    encoder: Encoder,
    rows: TrainingRows,
    training: Training,
    *,
    seed: int,
    flash_attention: bool = False,
    checkpoints: Path,
    resume_from: Path | None,
    key: str = "",
    validation: Validation | None = None,
    callbacks: Sequence[TrainerCallback] = (),
    share: Share = WHOLE,
) -> Trained:
    """Train ``model`` in place. With ``validation``, only rank 0 loads the weights of the best step.

    Args:
        training: the section as resolved for the device.
        checkpoints: folder for checkpoint-N.
        resume_from: a complete checkpoint-N; on CPU the result equals that of an uninterrupted run bit for bit.
        key: fingerprint of the run, written into its checkpoints.
        validation: chooses the checkpoint whose weights ``model`` gets at the end; None keeps the last.
        share: this process's share of the rows.

    Raises:
        UserError: memory ran out.
    """
    batches, columns = len(MixedBatchSampler(rows, seed, share)), list(rows.texts.column_names)
    cached = isinstance(loss, CachedSpladeLoss)
    arguments = training_arguments(encoder, training, seed, checkpoints, batches, columns, validation, mini_batches=cached)
    arguments.dataloader_drop_last = share.count > 1  # sentence-transformers would set it and warn
    scheduler = SpladeRegularizerWeightSchedulerCallback(loss) if isinstance(loss, SpladeLoss) else None
    progress = Progress(validation.decisive if validation else None)
    watchers = [*([scheduler] if scheduler else []), SparsityCallback(loss, scheduler, _probe(rows)), *callbacks]
    watchers += [SelectionCallback(validation)] if validation else []
    watchers += [OwnDropout() if share.index else progress]
    trainer = Trainer(
        model=model,
        args=arguments,
        rows=rows,
        share=share,
        validation=validation,
        key=key,
        loss=loss,
        callbacks=watchers,
        data_collator=MixedCollator(model.preprocess, router_mapping=routes(encoder, columns), prompts=prompts(model, columns)),
    )
    trainer.remove_callback(PrinterCallback)  # prints each log entry as a dictionary
    places = [checkpoints, *([resume_from.parent] if resume_from else [])]
    reached = TrainerState.load_from_json(str(resume_from / STATE)) if resume_from else None
    autoencoder = autoencoder_of(model) if validation and validation.control else None
    control = {name: weight.clone() for name, weight in autoencoder.state_dict().items()} if autoencoder else {}
    if reached and validation and (so_far := validation.best_step(reached.log_history)):
        find_step(so_far, places)  # fail before training for hours
    if reached and resume_from and (reached.global_step >= reached.max_steps or (validation and validation.exhausted(reached.log_history))):
        trainer.load(resume_from)  # interrupted after its last step, before the model was written
        trainer.state = reached
    else:
        flash = attention_of(model, FLASH if flash_attention else None)
        with memory_errors(trainer.attempt), flash:
            if torch.distributed.is_initialized():
                two = trainer._prepare_inputs(trainer.data_collator([rows.texts[row] for row in range(2)]))
                with trainer.accelerator.autocast():
                    freeze_unused(model, trainer.collect_features(two)[0])
            try:
                trainer.train(resume_from_checkpoint=str(resume_from) if resume_from else None)
            except KeyboardInterrupt as interrupt:
                raise KeyboardInterrupt(f"at step {trainer.state.global_step} of {trainer.state.max_steps}") from interrupt
            finally:
                progress.close()
    settle(model)
    history = trainer.state.log_history
    best = validation.best_step(history) if validation else None
    if best == 0 and autoencoder:
        autoencoder.load_state_dict(control)
    elif best is not None and not share.index:
        trainer.load(find_step(best, places))
    return Trained(trainer.state.global_step, _by_step(history), best)


def settle(model: SparseEncoder) -> None:
    """Run ``model`` once, so that lazily set attributes (truncation, padding, width, similarity) are saved identically after a resume.

    A run that was interrupted after its last step would otherwise save a model that it has not used.
    """
    model.similarity(model.encode_query(["a"]), model.encode_document(["a"]))


def _by_step(history: Sequence[Mapping[str, Any]]) -> list[dict[str, float]]:
    """The log with one entry per step: loss, scores or both. The trainer's last entry, with run times, is left out."""
    entries: dict[int, dict[str, float]] = {}
    for entry in history:
        if "loss" in entry or any(name.startswith(PREFIX) for name in entry):
            entries.setdefault(entry["step"], {}).update(entry)
    return list(entries.values())


def _probe(rows: TrainingRows) -> Dataset:
    """64 rows, evenly spaced over the training data."""
    number = len(rows.texts)
    return rows.texts.select(sorted({row * number // 64 for row in range(64)}))
