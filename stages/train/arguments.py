"""The section ``training`` as sentence-transformers' arguments, and how each column is encoded."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sentence_transformers import SparseEncoder, SparseEncoderTrainingArguments

from stages.config.schema import Training
from stages.encoders.encoder import Encoder
from stages.rows.parquet import text_columns
from stages.train.selection import Validation


def training_arguments(
    encoder: Encoder,
    training: Training,
    seed: int,
    checkpoints: Path,
    batches: int,
    columns: Sequence[str],
    validation: Validation | None,
    *,
    mini_batches: bool,
) -> SparseEncoderTrainingArguments:
    """The trainer's arguments: every setting of ``training`` that they know by the same name, and what this project fixes.

    Args:
        training: the section as resolved for the device. A null leaves transformers' default.
        checkpoints: folder for checkpoint-N.
        batches: this process's batches per epoch.
        columns: of the training rows.
        mini_batches: whether texts are encoded in mini-batches (GradCache).
    """
    shared = training.model_dump(include=set(SparseEncoderTrainingArguments.__dataclass_fields__), exclude_none=True)
    steps_in_epoch = max(1, math.ceil(batches / training.gradient_accumulation_steps))
    total = training.max_steps or round(steps_in_epoch * training.num_train_epochs)
    ours: dict[str, Any] = {
        "output_dir": str(checkpoints),
        "learning_rate_mapping": {encoder.query_parameters: training.query_learning_rate} if encoder.query_parameters else {},
        "router_mapping": routes(encoder, columns),
        "warmup_ratio": None,  # deprecated, like gradient_checkpointing; the next three replace them
        "warmup_steps": round(total * training.warmup_ratio),
        "activation_checkpointing": training.gradient_checkpointing,
        "activation_checkpointing_kwargs": {"use_reentrant": False} if training.gradient_checkpointing else None,
        "logging_nan_inf_filter": False,
        "save_strategy": "steps",
        "eval_strategy": "no",
        "seed": seed,
        "data_seed": seed,
        "use_cpu": training.device == "cpu",
        "accelerator_config": {"non_blocking": bool(training.dataloader_pin_memory)},  # without it pinned memory has no effect
        # DDP looks for unused parameters after each forward pass, and would miss those that another pass of the step uses. With GradCache
        # it looks only after the last pass, of documents, which uses no parameter of the query route.
        "ddp_find_unused_parameters": mini_batches and encoder.routed,
        "report_to": "none",
        "disable_tqdm": True,  # `Progress` shows its own bar
        "log_level_replica": "error",  # the default makes the other processes print warnings
        "dataloader_drop_last": False,
    }
    if validation:
        ours |= {"eval_strategy": "steps", "eval_steps": validation.eval_steps}
        ours |= {"metric_for_best_model": validation.decisive, "greater_is_better": True}
        # With a limit of 1, the last checkpoint would be removed before the model is written if another one is the best.
        ours |= {"save_total_limit": max(2, training.save_total_limit)}
    arguments = SparseEncoderTrainingArguments(**shared | ours)
    arguments._n_gpu = min(arguments.n_gpu, 1)  # one process must not use all GPUs by nn.DataParallel, which splits the batches of `mix`
    return arguments


def routes(encoder: Encoder, columns: Sequence[str]) -> dict[str, str]:
    """Column → route, if the encoder has routes: the anchor is a query, every other column a document."""
    return {column: "query" if column == "anchor" else "document" for column in text_columns(columns)} if encoder.routed else {}


def prompts(model: SparseEncoder, columns: Sequence[str]) -> dict[str, str]:
    """Column → its prompt: the model's own, which `encode_query` and `encode_document` use too."""
    texts = {column: model.prompts.get("query" if column == "anchor" else "document") for column in text_columns(columns)}
    return {column: prompt for column, prompt in texts.items() if prompt}
