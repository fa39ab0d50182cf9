"""Out of memory is a one-line error with what was being done and what to change; other errors are raised unchanged."""

from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from stages.encoders.building import ENCODERS
from stages.runtime.oom import memory_errors
from stages.train.attempt import Attempt
from stages.train.data import open_rows
from stages.train.trainer import train
from tests import tiny_models
from tests.refused import names, refused
from tests.sections import loss_section, model_section, training_section


def attempt(checkpointing: bool = False) -> Attempt:
    made = Attempt("cpu", checkpointing, dimensions=50_000)
    made.see([{"attention_mask": torch.ones(16, 20)}, {"attention_mask": torch.ones(16, 256)}])
    return made


def test_a_failed_allocation_names_the_step() -> None:
    named = refused("training … out of memory … 16 rows of 20 + 256 tokens … 50000 … cpu … training.gradient_checkpointing=true")
    with named, memory_errors(attempt()):
        torch.empty(2**60)


@pytest.mark.parametrize(("made", "line"), [
    (attempt(checkpointing=True), "halve training.per_device_train_batch_size, then model.max_seq_length"),
    (Attempt("cuda", False), "first step … cuda; halve training.per_device_train_batch_size"),
    (Attempt("cpu", False, mini_batches=True), "halve training.mini_batch_size, then training.per_device_train_batch_size"),
    (replace(attempt(), evaluating=True), "training.eval_sets … cpu; halve evaluation.per_device_eval_batch_size"),
])  # fmt: skip
def test_the_remedy_fits_what_was_being_done(made: Attempt, line: str) -> None:
    assert names(str(made), f"out of memory … {line}") and "checkpointing" not in str(made)


def test_texts_without_padding_are_counted() -> None:
    made = Attempt("cuda", False)
    made.see([{"input_ids": torch.ones(1, 30), "cu_seq_lens_q": torch.tensor([0, 10, 30]), "max_length_q": 20}])
    assert names(str(made), "training … out of memory … 2 rows of 20 tokens … cuda")


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("MPS backend out of memory (MPS allocated: 9.0 GB, other allocations: 1 GB, max allowed: 9.07 GB)"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:118] DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB."),
        MemoryError(),
    ],
)
def test_every_devices_error_is_recognised(error: Exception) -> None:
    with refused("out of memory", "first step", "mps"), memory_errors(Attempt("mps", False)):
        raise error


def test_another_error_stays_a_traceback() -> None:
    with pytest.raises(RuntimeError, match="mat1 and mat2"), memory_errors(attempt()):
        torch.ones(2, 3) @ torch.ones(2, 3)


KNOBS = {"splade": "set training.gradient_checkpointing=true", "csr": "halve training.per_device_train_batch_size, then model"}


@pytest.mark.parametrize("architecture", KNOBS)
def test_a_training_run_names_the_step_that_failed(architecture: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    columns = {"anchor": ["a b", "c"], "positive": ["a b c d", "e"], "source": ["x", "x"], "batch": pa.array([0, 0], pa.int32())}
    pq.write_table(pa.table(columns), tmp_path / "train.parquet")
    rows = open_rows(tmp_path / "train.parquet", tmp_path / "rows.arrow")
    base = tiny_models.save(tmp_path / "model", architecture).with_name("model-base")
    encoder = ENCODERS[architecture]
    model = encoder.build(base, model_section(hidden_dim=32, k=4, k_aux=8), ["a b c d", "e"])
    loss = encoder.make_loss(model, loss_section())
    monkeypatch.setattr(type(loss), "forward", lambda *_: torch.empty(2**60))
    with refused("out of memory", "2 rows of 4 + 6 tokens", "vocabulary", "cpu", KNOBS[architecture]):
        train(model, loss, encoder, rows, training_section(), seed=1, checkpoints=tmp_path, resume_from=None)
