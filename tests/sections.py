"""Sections of resolved/train.yaml for small models and short training runs on CPU. ``changes`` may be what params.yaml may not hold."""

from typing import Any

from stages.config.schema import Loss, Training
from stages.config.settings import ResolvedModel

LOSS = Loss(
    query_regularizer_weight=1e-3, document_regularizer_weight=1e-3, auxiliary_weight=0.1, contrastive_weight=1.0,
    similarity_weight=0.0, nested_k=[2, 8],
)  # fmt: skip
TRAINING = Training(
    num_train_epochs=1, max_steps=None, per_device_train_batch_size=16, gradient_accumulation_steps=1, learning_rate=1e-3,
    query_learning_rate=1e-2, warmup_ratio=0.1, weight_decay=0.01, max_grad_norm=1.0, bf16=False, fp16=False,
    gradient_checkpointing=False, logging_steps=1, save_steps=1000, save_total_limit=1, resume=True, device="cpu",
    dataloader_pin_memory=False,
)  # fmt: skip
MODEL = ResolvedModel(base_model="base", max_seq_length=32, hidden_dim=128, k=8, k_aux=16, whitening=0.0)


def model_section(**changes: Any) -> ResolvedModel:
    return MODEL.model_copy(update=changes)


def loss_section(**changes: Any) -> Loss:
    return LOSS.model_copy(update=changes)


def training_section(**changes: Any) -> Training:
    return TRAINING.model_copy(update=changes)
