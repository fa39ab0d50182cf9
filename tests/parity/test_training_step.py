"""With every extra off, the same batches give the loss and gradients of sentence-transformers' own trainer.

Three steps at learning rate 0, so that all see the same weights. The trainer warms the regulariser up from 0 in the first step to its full
weight in the others. Weights after a real step cannot be compared: Adam makes a full step of a gradient that is rounding noise.
"""

import copy
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from datasets import Dataset
from sentence_transformers import SparseEncoder, SparseEncoderTrainer, SparseEncoderTrainingArguments
from sentence_transformers.base.sampler import DefaultBatchSampler
from sentence_transformers.sparse_encoder.losses import CSRLoss, SparseMultipleNegativesRankingLoss, SpladeLoss
from transformers import TrainerCallback

from stages.encoders.active_dims import autoencoder_of
from stages.encoders.building import ENCODERS
from stages.encoders.csr import SCALE, ReconstructionLoss
from stages.encoders.fast.model import make_fast
from stages.train.data import open_rows
from stages.train.trainer import train
from tests.conftest import SENTENCES
from tests.sections import loss_section, model_section, training_section

ARCHITECTURES = ("splade", "inference-free-splade", "csr")
MODEL, LOSS = model_section(), loss_section(query_regularizer_weight=0.02, document_regularizer_weight=0.03)
STEPS, BATCH = 3, 4
OFF = training_section(max_steps=STEPS, learning_rate=0.0, query_learning_rate=0.0, warmup_ratio=0.0, weight_decay=0.0, max_grad_norm=0.0)


@dataclass
class Recorder(TrainerCallback):  # type: ignore[misc]
    """Records the loss terms and the gradients of every step."""

    losses: list[dict[str, torch.Tensor]] = field(default_factory=list)
    gradients: list[dict[str, torch.Tensor]] = field(default_factory=list)

    def watch(self, loss: torch.nn.Module) -> torch.nn.Module:
        loss.register_forward_hook(lambda _, __, terms: self.losses.append({name: term.detach() for name, term in terms.items()}))
        return loss

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        parameters = kwargs["model"].named_parameters()
        self.gradients.append({name: p.grad.clone() for name, p in parameters if p.grad is not None})


class InOrder(DefaultBatchSampler):
    """Stock's batches without shuffling: rounding depends on the order of rows in a batch."""

    def __iter__(self) -> Iterator[list[int]]:
        yield from (list(range(step * BATCH, (step + 1) * BATCH)) for step in range(STEPS))


@pytest.fixture(scope="module")
def without_dropout(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("parity") / "base"
    shutil.copytree(base, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}))
    return folder


def rows(negatives: int) -> dict[str, list[str]]:
    """Columns of three batches."""
    texts = [*SENTENCES, *(text.rsplit(maxsplit=3)[0] for text in SENTENCES[:4])]
    shifted = {f"negative_{n}" if n > 1 else "negative": texts[n:] + texts[:n] for n in range(1, negatives + 1)}
    return {"anchor": [text.split()[0] for text in texts], "positive": texts} | shifted


def ours(architecture: str, model: SparseEncoder, columns: dict[str, list[str]], folder: Path) -> Recorder:
    """Train as the train stage does, from a table as `mix` writes it; without negatives their column is all null."""
    folder.mkdir()
    recorder, encoder, count = Recorder(), ENCODERS[architecture], STEPS * BATCH
    batch = pa.array([row // BATCH for row in range(count)], pa.int32())
    table = pa.table({"negative": pa.nulls(count, pa.string())} | columns | {"source": ["a"] * count, "batch": batch})
    pq.write_table(table.select([*columns, *sorted(set(table.column_names) - set(columns))]), folder / "train.parquet")
    mixed = open_rows(folder / "train.parquet", folder / "rows.arrow")
    loss = recorder.watch(encoder.make_loss(model, LOSS))
    train(model, loss, encoder, mixed, OFF, seed=1, checkpoints=folder, resume_from=None, callbacks=[recorder])
    return recorder


def stock(architecture: str, model: SparseEncoder, columns: dict[str, list[str]], folder: Path) -> Recorder:
    recorder = Recorder()
    if architecture == "csr":
        contrastive = SparseMultipleNegativesRankingLoss(model, scale=SCALE)
        loss: torch.nn.Module = CSRLoss(model, contrastive, beta=LOSS.auxiliary_weight, gamma=LOSS.contrastive_weight)
        loss.reconstruction_loss = ReconstructionLoss(model, beta=LOSS.auxiliary_weight)  # ours: divided by the vectors' variance
    else:
        query_weight = LOSS.query_regularizer_weight if architecture == "splade" else None
        loss = SpladeLoss(model, SparseMultipleNegativesRankingLoss(model), LOSS.document_regularizer_weight, query_weight)
    routed = architecture == "inference-free-splade"
    arguments = SparseEncoderTrainingArguments(
        output_dir=str(folder),
        max_steps=STEPS,
        per_device_train_batch_size=BATCH,
        batch_sampler=InOrder,
        learning_rate=0.0,
        max_grad_norm=0.0,
        router_mapping={name: "query" if name == "anchor" else "document" for name in columns} if routed else {},
        save_strategy="no",
        use_cpu=True,
        report_to="none",
    )
    dataset = Dataset.from_dict(columns)
    SparseEncoderTrainer(model=model, args=arguments, train_dataset=dataset, loss=recorder.watch(loss), callbacks=[recorder]).train()
    return recorder


@pytest.mark.parametrize(("negatives", "dtype"), [(0, torch.float32), (2, torch.float32), (2, torch.float64)])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_step_equals_the_stock_trainers(
    architecture: str, negatives: int, dtype: torch.dtype, without_dropout: Path, tmp_path: Path
) -> None:
    model = ENCODERS[architecture].build(without_dropout, MODEL, SENTENCES).to("cpu", dtype)
    if architecture == "csr":
        autoencoder_of(model).stats_last_nonzero[::2] = 100  # dead latents, so that the auxiliary term is not zero
    columns = rows(negatives)
    reference = stock(architecture, copy.deepcopy(model), columns, tmp_path / "stock")
    same = ours(architecture, copy.deepcopy(model), columns, tmp_path / "ours")
    for step in range(STEPS):
        assert largest(reference.gradients[step]) > 0.01
        assert difference(same.losses[step], reference.losses[step]) == 0
        assert difference(same.gradients[step], reference.gradients[step]) == 0


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.float64, 1e-15)])
@pytest.mark.parametrize("architecture", ["splade", "inference-free-splade"])
def test_with_the_fused_head_and_length_buckets_only_the_rounding_differs(
    architecture: str, dtype: torch.dtype, tolerance: float, without_dropout: Path, tmp_path: Path
) -> None:
    model = ENCODERS[architecture].build(without_dropout, MODEL, SENTENCES).to("cpu", dtype)
    columns = rows(negatives=2)
    reference = stock(architecture, copy.deepcopy(model), columns, tmp_path / "stock")
    assert not make_fast(model, split_padding=8)
    fused = ours(architecture, model, columns, tmp_path / "ours")
    for step in range(STEPS):
        assert difference(fused.losses[step], reference.losses[step]) < tolerance
        assert difference(fused.gradients[step], reference.gradients[step]) < tolerance


def difference(got: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> float:
    """The largest absolute difference; a term that stock lacks (the query regulariser at weight 0) must be zero."""
    assert set(expected) <= set(got)
    return max(float((value - expected.get(name, 0.0)).abs().max()) for name, value in got.items())


def largest(tensors: dict[str, torch.Tensor]) -> float:
    return max(float(tensor.abs().max()) for tensor in tensors.values())


def test_the_loss_curves_of_both_heads_agree_over_a_hundred_real_steps(without_dropout: Path) -> None:
    torch.manual_seed(1)
    stock_model = ENCODERS["splade"].build(without_dropout, MODEL, []).to("cpu")
    model = copy.deepcopy(stock_model)
    assert not make_fast(model)
    curves = []
    for each in (stock_model, model):
        loss = ENCODERS["splade"].make_loss(each, LOSS)
        optimizer = torch.optim.AdamW(each.parameters(), lr=1e-4)
        curve = []
        for step in range(100):
            texts = [[SENTENCES[(step + row + shift) % len(SENTENCES)] for row in range(4)] for shift in (0, 3)]
            total = sum(loss([each.preprocess(column) for column in texts], None).values())
            total.backward()
            optimizer.step()
            optimizer.zero_grad()
            curve.append(total.item())
        curves.append(torch.tensor(curve))
    assert curves[0][-10:].mean() < 0.8 * curves[0][:10].mean()  # it learns
    assert (curves[0] - curves[1]).abs().max() < 1e-3
