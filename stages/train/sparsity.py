"""Log and steer sparsity during training, and stop a run that has collapsed."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from datasets import Dataset
from sentence_transformers import SparseEncoder
from sentence_transformers.sparse_encoder.callbacks.splade_callbacks import SpladeRegularizerWeightSchedulerCallback
from sentence_transformers.sparse_encoder.losses import SpladeLoss
from sentence_transformers.sparse_encoder.modules import SparseAutoEncoder
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from stages.encoders.regularizers import Regularizer
from stages.runtime.errors import UserError

EMPTY_LIMIT = 0.5  # share of texts without any active dimension
DENSE_LIMIT = 0.5  # share of the dimensions active in a text, once the regularisers have their full weight
ALIKE_LIMIT = 1e-5  # mean cosine distance between texts: 2e-7 (rounding) in a collapsed model, .78 in the made base
COMPARED = 16  # queries of the probe, and as many documents
RESPONSE = 20.0  # strength of the steering over a whole run, divided by its number of steps
FASTEST = 0.07  # but at most this in a step: a model answers within about 20 steps, and a faster steering swings around the target


class SparsityCallback(TrainerCallback):
    """Logs active dimensions (``query_active_dims``, ``document_active_dims``; CSR: ``dead_latents``), and steers the regularisers.

    Once ``scheduler`` has raised the weights to their full value, each regulariser with a target is steered before every step.
    Dropout activates further dimensions. At each logging step, ``probe`` is encoded without dropout to correct for that.
    Several processes measure different batches, and average their measurements after each step.

    Raises:
        UserError: at a logging step, if the loss is not finite, most texts have no active dimension, texts are dense and stay so, or all
            texts have the same vector. This happens before a checkpoint of that step is saved.
    """

    def __init__(self, loss: torch.nn.Module, scheduler: SpladeRegularizerWeightSchedulerCallback | None, probe: Dataset) -> None:
        self._loss, self._probe = loss, probe
        self._scheduler = scheduler
        self._regularizers = regularizers(loss)
        self._autoencoders = [module for module in loss.modules() if isinstance(module, SparseAutoEncoder)]

    def on_step_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if self._full_weight(state.global_step):
            first = self._scheduler.warmup_steps or 0 if self._scheduler else 0
            progress = (state.global_step - first) / max(1, state.max_steps - first)
            for regularizer in self._regularizers.values():
                regularizer.steer(min(RESPONSE / state.max_steps, FASTEST), progress)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if torch.distributed.is_initialized():
            for buffer in loss_state(self._loss).values():
                if buffer.is_floating_point():
                    torch.distributed.all_reduce(buffer)
                    buffer /= torch.distributed.get_world_size()

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        model: SparseEncoder | None = None,
        **kwargs: Any,
    ) -> None:
        if logs is None or "loss" not in logs:
            return
        assert model is not None, "the trainer passes it, without DistributedDataParallel"
        self._calibrate(model)
        measured = self._measured()
        logs.update(measured)  # for the callbacks after this one
        state.log_history[-1].update(measured)  # for the training curve
        require_finite(logs, state.global_step)
        for name, regularizer in self._regularizers.items():
            self._require_sparse(name, regularizer, state.global_step)
        self._require_distinct(model, args.learning_rate, state.global_step)

    def _calibrate(self, model: SparseEncoder) -> None:
        for name, regularizer in self._regularizers.items():
            if regularizer.target is not None and not regularizer.active_dims.isnan():
                columns = [column for column in self._probe.column_names if (column == "anchor") == (name == "query")]
                texts = [text for column in columns for text in self._probe[column] if text]
                embeddings = (model.encode_query if name == "query" else model.encode_document)(texts, show_progress_bar=False)
                assert isinstance(embeddings, torch.Tensor)
                regularizer.calibrate(float((embeddings.to_dense() > 0).sum(dim=1).float().mean()))

    def _measured(self) -> dict[str, float]:
        measured = {}
        for name, regularizer in self._regularizers.items():
            measured[f"{name}_active_dims"] = round(float(regularizer.active_dims * regularizer.without_dropout), 2)
            if regularizer.target is not None:
                measured[f"{name}_regularizer_factor"] = float(regularizer.factor)
        for autoencoder in self._autoencoders[:1]:
            dead = autoencoder.stats_last_nonzero > autoencoder.dead_threshold
            measured["dead_latents"] = round(float(dead.float().mean()), 4)
        return measured

    def _full_weight(self, step: int) -> bool:
        return self._scheduler is None or step >= (self._scheduler.warmup_steps or 0)

    def _require_sparse(self, name: str, regularizer: Regularizer, step: int) -> None:
        what, weight = ("queries", "query") if name == "query" else ("documents", "document")
        if float(regularizer.empty) > EMPTY_LIMIT:
            static = name == "query" and not getattr(self._loss, "query_regularizer_weight", None)  # inference-free
            remedy = "training.query_learning_rate" if static else f"loss.{weight}_regularizer_weight"
            raise UserError(
                f"training: at step {step} {float(regularizer.empty):.0%} of the {what} have no active dimension and match nothing; "
                f"lower {remedy} or training.learning_rate, and start afresh with training.resume=false"
            )
        active, before = float(regularizer.active_dims), float(regularizer.active_dims_logged)
        regularizer.active_dims_logged.copy_(regularizer.active_dims)
        if self._full_weight(step) and active > DENSE_LIMIT * regularizer.dimensions and active > 0.98 * before:
            raise UserError(
                f"training: at step {step} the {what} are dense and stay dense ({active:.0f} of {regularizer.dimensions} "
                f"dimensions active); raise loss.{weight}_regularizer_weight, or use another base model"
            )

    def _require_distinct(self, model: SparseEncoder, learning_rate: float, step: int) -> None:
        """Raise `UserError` if different texts have the same vector or, in CSR, which has no regulariser, most vectors are zero.

        The loss of such a model may still be falling.
        """
        for what, column, encode in (("queries", "anchor", model.encode_query), ("documents", "positive", model.encode_document)):
            texts = list(dict.fromkeys(self._probe[column]))[:COMPARED]
            if len(texts) < 2:
                continue
            embeddings = encode(texts, show_progress_bar=False)
            assert isinstance(embeddings, torch.Tensor)
            vectors = embeddings.to_dense()
            empty = 0.0 if self._regularizers else float((vectors == 0).all(dim=1).float().mean())  # else `_require_sparse` has checked
            if empty > EMPTY_LIMIT or mean_cosine_distance(vectors) < ALIKE_LIMIT:
                alike = f"{len(texts)} different {what} all have the same vector"
                fault = f"{empty:.0%} of {what} have no active dimension" if empty else alike
                raise UserError(
                    f"training: at step {step} {fault}, so nothing can be ranked; "
                    f"lower training.learning_rate ({learning_rate:g}), and start afresh with training.resume=false"
                )


def mean_cosine_distance(vectors: torch.Tensor) -> float:
    """Mean of 1 - cos over all pairs of rows, including each with itself. ``vectors``: (rows, dimensions). A zero row has distance 1."""
    return 1 - float(torch.nn.functional.normalize(vectors.float(), dim=1).mean(dim=0).square().sum())


def require_finite(logs: Mapping[str, float], step: int) -> None:
    """Raise `UserError` if a logged loss is NaN or infinite."""
    broken = [name for name, value in logs.items() if "loss" in name and not math.isfinite(value)]
    if broken:
        raise UserError(
            f"training: {', '.join(broken)} became {logs[broken[0]]} by step {step}; lower training.learning_rate, "
            "or switch off mixed precision with training.bf16=false and training.fp16=false"
        )


def regularizers(loss: torch.nn.Module) -> dict[str, Regularizer]:
    """The regularisers of a `SpladeLoss` by what they see, query or document; empty for other losses."""
    if not isinstance(loss, SpladeLoss):
        return {}
    pair = {"query": getattr(loss, "query_regularizer", None), "document": loss.document_regularizer}
    return {name: module for name, module in pair.items() if isinstance(module, Regularizer)}


def loss_state(loss: torch.nn.Module) -> dict[str, torch.Tensor]:
    """The regularisers' buffers, which a resumed run needs in addition to the model's weights."""
    return {
        f"{name}.{key}": buffer
        for name, regularizer in regularizers(loss).items()
        for key, buffer in regularizer.named_buffers()
        if ".model." not in key
    }


def load_loss_state(loss: torch.nn.Module, state: Mapping[str, torch.Tensor]) -> None:
    """Restore what `loss_state` returned."""
    for key, buffer in loss_state(loss).items():
        buffer.resize_(state[key].shape).copy_(state[key])
