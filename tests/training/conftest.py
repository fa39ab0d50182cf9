"""A training of seconds on a made base: twelve batches of four rows."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sentence_transformers import SparseEncoder
from transformers import TrainerCallback, set_seed

from stages.encoders import Options, get_encoder
from stages.training.data import open_rows
from stages.training.selection import Validation
from stages.training.trainer import Hyperparameters, Trained, train
from tests.conftest import SENTENCES

OPTIONS = Options(max_seq_length=16, query_regularizer_weight=1e-3, document_regularizer_weight=1e-3)
PARAMETERS = {
    "num_train_epochs": 1.0, "max_steps": 12, "gradient_accumulation_steps": 1, "learning_rate": 5e-3, "query_learning_rate": 1e-2,
    "warmup_ratio": 0.1, "weight_decay": 0.01, "max_grad_norm": 1.0, "gradient_checkpointing": False, "logging_steps": 1,
    "save_steps": 3, "save_total_limit": 1, "seed": 1, "device": "cpu", "bf16": False, "fp16": False,
}  # fmt: skip
Run = Callable[..., tuple[SparseEncoder, Trained]]


@pytest.fixture
def run(base: Path, tmp_path: Path) -> Run:
    """Train splade in ``tmp_path``/checkpoints; options: resume_from, validation, callbacks, key, parameters by name."""
    words = [word for sentence in SENTENCES for word in sentence.split()]
    texts = [f"{words[i % len(words)]} {words[(7 * i + 3) % len(words)]}" for i in range(48)]
    columns = {"anchor": texts, "positive": [f"{text} {words[i % 5]}" for i, text in enumerate(texts)]}
    batch = pa.array([i // 4 for i in range(48)], pa.int32())
    pq.write_table(pa.table({**columns, "source": ["a"] * 48, "batch": batch}), tmp_path / "train.parquet")

    def run_once(
        *,
        base: Path = base,
        options: Options = OPTIONS,
        resume_from: Path | None = None,
        validation: Validation | None = None,
        callbacks: Sequence[TrainerCallback] = (),
        key: str = "key",
        **changes: object,
    ) -> tuple[SparseEncoder, Trained]:
        folder = tmp_path / "checkpoints"
        folder.mkdir(exist_ok=True)
        set_seed(1)
        encoder = get_encoder("splade")
        model = encoder.build(base, options, [])
        rows = open_rows(tmp_path / "train.parquet", tmp_path / "rows.arrow")
        parameters = Hyperparameters(**(PARAMETERS | changes))  # type: ignore[arg-type]
        loss = encoder.make_loss(model, options)
        return model, train(
            model, loss, encoder, rows, parameters,
            checkpoints=folder, resume_from=resume_from, key=key, validation=validation, callbacks=callbacks,
        )  # fmt: skip

    return run_once
