"""Real training rows and a base made from them: the sample's NLI triplets, of which a few hundred are enough."""

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stages import sample
from stages.sample.base import make_base
from stages.training.data import TrainingRows, open_rows
from stages.training.trainer import Hyperparameters

BATCH = 16


@pytest.fixture(scope="session")
def triplets(tmp_path_factory: pytest.TempPathFactory) -> pa.Table:
    """480 rows of anchor, positive, negative."""
    folder = tmp_path_factory.mktemp("nli")
    sample.write_dataset("nli", folder)
    return pq.read_table(folder / "train.parquet", columns=["anchor", "positive", "negative"]).slice(0, 480)


@pytest.fixture(scope="session")
def rows(triplets: pa.Table, tmp_path_factory: pytest.TempPathFactory) -> TrainingRows:
    """The triplets as 30 batches."""
    folder = tmp_path_factory.mktemp("mixed")
    mixed = (
        triplets.append_column("source", pa.array(["nli"] * len(triplets)))
        .append_column("language", pa.array(["nb"] * len(triplets)))
        .append_column("batch", pa.array([row // BATCH for row in range(len(triplets))], pa.int32()))
    )
    pq.write_table(mixed, folder / "train.parquet")
    return open_rows(folder / "train.parquet", folder / "rows.arrow")


@pytest.fixture(scope="session")
def draw_base(triplets: pa.Table, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Make a small base from the triplets; ``bias`` moves its logits, so that it starts denser."""

    def draw(bias: float = 0.0) -> Path:
        from transformers import BertForMaskedLM

        folder = tmp_path_factory.mktemp("base")
        texts = [text for column in triplets.columns for text in column.to_pylist()]
        make_base(
            lambda: texts,
            folder,
            vocab_size=1000,
            hidden_size=64,
            num_hidden_layers=1,
            num_attention_heads=2,
            max_seq_length=32,
            seed=1,
        )
        if bias:
            model = BertForMaskedLM.from_pretrained(folder)
            model.cls.predictions.decoder.bias.data += bias
            model.save_pretrained(folder)
        return folder

    return draw


@pytest.fixture
def hyperparameters() -> Callable[..., Hyperparameters]:
    """Those of a short training on CPU, some of them changed."""

    def make(**changes: float) -> Hyperparameters:
        values = {
            "num_train_epochs": 1, "max_steps": None, "gradient_accumulation_steps": 1, "learning_rate": 1e-3, "query_learning_rate": 1e-2,
            "warmup_ratio": 0.1, "weight_decay": 0.01, "max_grad_norm": 1.0, "gradient_checkpointing": False, "logging_steps": 5,
            "save_steps": 1000, "save_total_limit": 1, "seed": 1, "device": "cpu", "bf16": False, "fp16": False,
        }  # fmt: skip
        return Hyperparameters(**values | changes)

    return make
