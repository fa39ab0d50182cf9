"""Training runs of seconds: `run` on a few words; `rows` and `draw_base` on a few hundred triplets of the sample."""

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sentence_transformers import SparseEncoder
from transformers import TrainerCallback, set_seed

from stages import sample
from stages.config.settings import ResolvedModel
from stages.encoders.building import ENCODERS
from stages.make_base.lexical import make_base
from stages.runtime.files import remove
from stages.train.data import TrainingRows, open_rows
from stages.train.selection import Validation
from stages.train.trainer import Trained, train
from tests.conftest import SENTENCES
from tests.sections import loss_section, model_section, training_section

SECTION = model_section(max_seq_length=16)
Run = Callable[..., tuple[SparseEncoder, Trained]]


@pytest.fixture
def run(base: Path, tmp_path: Path) -> Run:
    """Train in ``tmp_path``/checkpoints; options: architecture, resume_from, validation, callbacks, key, and training's settings."""
    words = [word for sentence in SENTENCES for word in sentence.split()]
    texts = [f"{words[i % len(words)]} {words[(7 * i + 3) % len(words)]}" for i in range(48)]
    columns = {"anchor": texts, "positive": [f"{text} {words[i % 5]}" for i, text in enumerate(texts)]}
    batch = pa.array([i // 4 for i in range(48)], pa.int32())
    pq.write_table(pa.table({**columns, "source": ["a"] * 48, "batch": batch}), tmp_path / "train.parquet")

    def run_once(
        *,
        base: Path = base,
        section: ResolvedModel = SECTION,
        resume_from: Path | None = None,
        validation: Validation | None = None,
        callbacks: Sequence[TrainerCallback] = (),
        key: str = "key",
        flash_attention: bool = False,
        architecture: str = "splade",
        **changes: object,
    ) -> tuple[SparseEncoder, Trained]:
        folder = tmp_path / "checkpoints"
        folder.mkdir(exist_ok=True)
        for stale in [] if resume_from else folder.glob("checkpoint-*"):
            remove(stale)  # it would count as the newest
        set_seed(1)
        encoder = ENCODERS[architecture]
        model = encoder.build(base, section, SENTENCES if architecture == "csr" else [])
        if architecture == "csr" and validation:
            validation.start(model)
        rows = open_rows(tmp_path / "train.parquet", tmp_path / "rows.arrow")
        training = training_section(**{"max_steps": 12, "learning_rate": 5e-3, "save_steps": 3} | changes)
        loss = encoder.make_loss(model, loss_section())
        return model, train(
            model, loss, encoder, rows, training, seed=1, flash_attention=flash_attention,
            checkpoints=folder, resume_from=resume_from, key=key, validation=validation, callbacks=callbacks,
        )  # fmt: skip

    return run_once


BATCH = 16


@pytest.fixture(scope="session")
def triplets(tmp_path_factory: pytest.TempPathFactory) -> pa.Table:
    """480 rows of anchor, positive, negative."""
    folder = tmp_path_factory.mktemp("nli")
    sample.write_set("nli", folder)
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
    """Make a small base from the triplets; ``bias`` is added to its logits, so that it starts denser."""

    @cache
    def draw(bias: float = 0.0) -> Path:
        from transformers import BertForMaskedLM

        folder = tmp_path_factory.mktemp("base")
        texts = [text for column in triplets.columns for text in column.to_pylist()]
        shape = {"vocab_size": 1000, "hidden_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
        make_base(lambda: texts, texts, folder, **shape, max_seq_length=32, seed=1)
        if bias:
            model = BertForMaskedLM.from_pretrained(folder)
            model.cls.predictions.decoder.bias.data += bias
            model.save_pretrained(folder)
        return folder

    return draw
