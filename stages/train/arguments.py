"""What a training is told: our hyper-parameters as sentence-transformers' arguments, and by which way each column is encoded."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sentence_transformers import SparseEncoder, SparseEncoderTrainingArguments

from stages.encoders import Encoder
from stages.rows.parquet import text_columns
from stages.train.selection import Validation


@dataclass(frozen=True)
class Hyperparameters:
    """The optimisation, by the names of transformers' TrainingArguments, and whether its steps have flash attention."""

    num_train_epochs: float
    max_steps: int | None
    gradient_accumulation_steps: int
    learning_rate: float
    query_learning_rate: float
    warmup_ratio: float
    weight_decay: float
    max_grad_norm: float
    gradient_checkpointing: bool
    logging_steps: int
    save_steps: int
    save_total_limit: int
    seed: int
    device: str
    bf16: bool
    fp16: bool
    tf32: bool | None = None
    optim: str = "adamw_torch_fused"
    dataloader_num_workers: int = 0
    dataloader_pin_memory: bool = False
    torch_compile: bool = False
    flash_attention: bool = False


def training_arguments(
    encoder: Encoder,
    parameters: Hyperparameters,
    checkpoints: Path,
    batches: int,
    columns: Sequence[str],
    validation: Validation | None,
    *,
    mini_batches: bool,
) -> SparseEncoderTrainingArguments:
    """The trainer's arguments.

    Args:
        checkpoints: folder for checkpoint-N.
        batches: of this process in an epoch.
        columns: of the training rows.
        mini_batches: whether texts are encoded a few at a time (GradCache).
    """
    steps_in_epoch = max(1, math.ceil(batches / parameters.gradient_accumulation_steps))
    total = parameters.max_steps or round(steps_in_epoch * parameters.num_train_epochs)
    arguments = SparseEncoderTrainingArguments(
        output_dir=str(checkpoints),
        num_train_epochs=parameters.num_train_epochs,
        max_steps=parameters.max_steps or -1,
        gradient_accumulation_steps=parameters.gradient_accumulation_steps,
        learning_rate=parameters.learning_rate,
        learning_rate_mapping={encoder.query_parameters: parameters.query_learning_rate} if encoder.query_parameters else {},
        router_mapping=routes(encoder, columns),
        warmup_steps=round(total * parameters.warmup_ratio),
        weight_decay=parameters.weight_decay,
        max_grad_norm=parameters.max_grad_norm,
        activation_checkpointing=parameters.gradient_checkpointing,
        activation_checkpointing_kwargs={"use_reentrant": False} if parameters.gradient_checkpointing else None,
        logging_steps=parameters.logging_steps,
        logging_nan_inf_filter=False,
        save_strategy="steps",
        save_steps=parameters.save_steps,
        # A limit of 1 would remove the last checkpoint beside the best one before the model is written.
        save_total_limit=max(2, parameters.save_total_limit) if validation else parameters.save_total_limit,
        eval_strategy="steps" if validation else "no",
        eval_steps=validation.eval_steps if validation else None,
        metric_for_best_model=validation.decisive if validation else None,
        greater_is_better=True if validation else None,
        seed=parameters.seed,
        data_seed=parameters.seed,
        use_cpu=parameters.device == "cpu",
        bf16=parameters.bf16,
        fp16=parameters.fp16,
        tf32=parameters.tf32,
        optim=parameters.optim,
        dataloader_num_workers=parameters.dataloader_num_workers,
        dataloader_pin_memory=parameters.dataloader_pin_memory,
        accelerator_config={"non_blocking": parameters.dataloader_pin_memory},  # without it pinned memory is of no use
        torch_compile=parameters.torch_compile,
        # A search after each forward pass would miss what another one of the step uses; with GradCache only the last pass of a step
        # searches, a document's, which uses nothing of a query's route.
        ddp_find_unused_parameters=mini_batches and encoder.routed,
        report_to="none",
        dataloader_drop_last=False,
    )
    arguments._n_gpu = min(arguments.n_gpu, 1)  # or one process would use all GPUs by nn.DataParallel, which splits the batches of `mix`
    return arguments


def routes(encoder: Encoder, columns: Sequence[str]) -> dict[str, str]:
    """Column → route, where the encoder has routes: the anchor is a query, whatever else there is a document."""
    return {column: "query" if column == "anchor" else "document" for column in text_columns(columns)} if encoder.routed else {}


def prompts(model: SparseEncoder, columns: Sequence[str]) -> dict[str, str]:
    """Column → what stands before its texts: the model's own prompts, which `encode_query` and `encode_document` use."""
    texts = {column: model.prompts.get("query" if column == "anchor" else "document") for column in text_columns(columns)}
    return {column: prompt for column, prompt in texts.items() if prompt}
