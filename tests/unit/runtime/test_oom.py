"""Out of memory is a one-line error with what was being done and what to change; other errors are raised unchanged."""

from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from stages.encoders.building import ENCODERS
from stages.runtime.oom import in_one_line
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
    with named, in_one_line(attempt()):
        torch.empty(2**60)


def test_with_checkpointing_on_the_batch_size_comes_first() -> None:
    with (
        refused("out of memory", "halve training.per_device_train_batch_size", "then model.max_seq_length"),
        in_one_line(attempt(True)),
    ):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")


def test_texts_without_padding_are_counted() -> None:
    made = Attempt("cuda", False)
    made.see([{"input_ids": torch.ones(1, 30), "cu_seq_lens_q": torch.tensor([0, 10, 30]), "max_length_q": 20}])
    assert names(str(made), "training … out of memory … 2 rows of 20 tokens … cuda")


def test_before_the_first_step_checkpointing_is_no_remedy() -> None:
    message = str(Attempt("cuda", False))
    assert names(message, "training … out of memory … first step … cuda … halve training.per_device_train_batch_size")
    assert "checkpointing" not in message


def test_an_evaluation_during_training_has_its_own_remedy() -> None:
    with (
        refused("out of memory … training.eval_sets … cpu … evaluation.per_device_eval_batch_size"),
        in_one_line(replace(attempt(), evaluating=True)),
    ):
        raise MemoryError


def test_with_gradcache_its_mini_batches_come_first() -> None:
    cached = Attempt("cpu", False, mini_batches=True)
    with refused("out of memory", "halve training.mini_batch_size", "then training.per_device_train_batch_size"), in_one_line(cached):
        raise MemoryError


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("MPS backend out of memory (MPS allocated: 9.0 GB, other allocations: 1 GB, max allowed: 9.07 GB)"),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:118] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"
        ),
        MemoryError(),
    ],
)
def test_every_devices_error_is_recognised(error: Exception) -> None:
    with refused("out of memory", "first step", "mps"), in_one_line(Attempt("mps", False)):
        raise error


def test_another_error_stays_a_traceback() -> None:
    with pytest.raises(RuntimeError, match="mat1 and mat2"), in_one_line(attempt()):
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
