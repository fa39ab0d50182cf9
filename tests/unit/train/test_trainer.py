"""The trainer with scores, prompts, GradCache and gradient checkpointing."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from sentence_transformers import SparseEncoder

from stages.encoders.building import ENCODERS
from stages.encoders.fast.model import make_fast
from stages.mix.assembly import Source, mix
from stages.train.data import TrainingRows, open_rows
from stages.train.trainer import train
from tests.conftest import SENTENCES
from tests.refused import refused
from tests.sections import loss_section, model_section, training_section
from tests.tiny_models import without_dropout

ARCHITECTURES = ("splade", "inference-free-splade", "csr")
PROMPTS = {"query": "spørsmål: ", "document": "tekst: "}
NO_WEIGHTS = {"query_regularizer_weight": 0.0, "document_regularizer_weight": 0.0}
TRAINING = training_section(max_steps=2, save_steps=100, warmup_ratio=0.0, weight_decay=0.0)


@pytest.fixture
def rows(tmp_path: Path) -> TrainingRows:
    """Two batches of four rows, with two negatives per row in one and one in the other; both have scores."""
    table: dict[str, Any] = {"anchor": [f"{text[:20]} {i}" for i, text in enumerate(SENTENCES)], "positive": SENTENCES}
    table["negative"] = [f"{i} {text}" for i, text in enumerate(SENTENCES)]
    table["negative_2"] = pa.array([f"{text} {i}" if i < 4 else None for i, text in enumerate(SENTENCES)], pa.string())
    table["scores"] = [[4.0, 1.0, 0.5][: 3 if i < 4 else 2] for i in range(8)]
    pq.write_table(pa.table(table | {"source": ["x"] * 8, "language": ["nb"] * 8}), tmp_path / "x.parquet")
    mix([Source("x", tmp_path / "x.parquet")], tmp_path / "mixed", batch_size=4, seed=1, scored=True)
    return open_rows(tmp_path / "mixed" / "train.parquet", tmp_path / "rows.arrow", scored=True)


@pytest.fixture(autouse=True)
def no_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    """Switch off the check for equal vectors, whose texts a test would count."""
    monkeypatch.setattr("stages.train.sparsity.COMPARED", 1)


def run(
    architecture: str,
    base: Path,
    rows: TrainingRows,
    folder: Path,
    prompts: dict[str, str] | None = None,
    mini_batch_size: int | None = None,
    **knobs: Any,
) -> tuple[Any, Any]:
    torch.manual_seed(1)
    encoder = ENCODERS[architecture]
    model = without_dropout(encoder.build(base, model_section(), SENTENCES))
    model.prompts.update(prompts or {})
    seen: list[str] = []
    preprocess = model.preprocess

    def noting(texts: list[str], prompt: str | None = None, **more: Any) -> Any:
        seen.extend(f"{prompt}|{text}" for text in texts)
        return preprocess(texts, prompt=prompt, **more)

    model.__dict__["preprocess"] = noting
    loss = encoder.make_loss(model, loss_section(**NO_WEIGHTS | knobs), mini_batch_size)
    log = train(model, loss, encoder, rows, TRAINING, seed=1, checkpoints=folder / "checkpoints", resume_from=None).log
    del model.__dict__["preprocess"]
    return model, (log, seen[:-2])  # the last two are of `settle`


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("distillation", ["margin_mse", "kl"])
def test_scores_reach_the_loss_as_labels_not_as_a_text_column(
    architecture: str, distillation: str, base: Path, rows: TrainingRows, tmp_path: Path
) -> None:
    _, (log, seen) = run(architecture, base, rows, tmp_path, distillation=distillation)
    assert len(log) == 2 and all(entry["base_loss"] > 0 for entry in log)
    assert len(seen) == 4 * 4 + 4 * 3  # anchor, positive and two negatives or one


def test_gradcache_equals_the_whole_batch(base: Path, rows: TrainingRows, tmp_path: Path) -> None:
    plain = TrainingRows(rows.texts.remove_columns("scores"), rows.starts, rows.sources)
    logs = [
        run("splade", base, plain, tmp_path / str(size), mini_batch_size=size, document_regularizer_weight=1e-2)[1][0] for size in (None, 3)
    ]
    for whole, cached in zip(*logs, strict=True):
        for term in ("loss", "base_loss", "document_regularizer_loss"):
            assert cached[term] == pytest.approx(whole[term], abs=1e-4)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_prompts_are_the_same_in_training_in_the_saved_model_and_in_its_embeddings(
    architecture: str, base: Path, rows: TrainingRows, tmp_path: Path
) -> None:
    plain = TrainingRows(rows.texts.remove_columns("scores"), rows.starts, rows.sources)
    model, (_, seen) = run(architecture, base, plain, tmp_path, prompts=PROMPTS)
    anchors = {*plain.texts["anchor"]}
    assert {(prompt, text in anchors) for prompt, text in (each.split("|") for each in seen)} == {
        (PROMPTS["query"], True),
        (PROMPTS["document"], False),
    }
    model.save_pretrained(str(tmp_path / "saved"), create_model_card=False)
    stock = SparseEncoder(str(tmp_path / "saved"))
    assert stock.prompts == PROMPTS
    for kind in PROMPTS:
        encode = getattr(stock, f"encode_{kind}")
        asked = encode(SENTENCES, convert_to_sparse_tensor=False)
        assert torch.equal(asked, encode([PROMPTS[kind] + text for text in SENTENCES], prompt="", convert_to_sparse_tensor=False))
        assert not torch.equal(asked, encode(SENTENCES, prompt="", convert_to_sparse_tensor=False))


def test_without_prompts_texts_are_unchanged(base: Path, rows: TrainingRows, tmp_path: Path) -> None:
    plain = TrainingRows(rows.texts.remove_columns("scores"), rows.starts, rows.sources)
    _, (_, seen) = run("splade", base, plain, tmp_path)
    assert all(each.startswith("None|") for each in seen)


def test_rows_without_scores_are_refused_if_the_loss_needs_them(rows: TrainingRows, tmp_path: Path) -> None:
    mixed = tmp_path / "mixed" / "train.parquet"
    pq.write_table(pq.read_table(mixed).drop_columns("scores"), mixed)
    with refused(str(mixed), "scores", "loss.distillation"):
        open_rows(mixed, tmp_path / "again.arrow", scored=True)


def test_gradient_checkpointing_trains_the_same_model(base: Path, rows: TrainingRows, tmp_path: Path) -> None:
    weights = []
    for name, checkpointing in (("kept", False), ("twice", True)):
        torch.manual_seed(1)
        encoder = ENCODERS["splade"]
        model = encoder.build(base, model_section(), [])
        make_fast(model)
        loss = encoder.make_loss(model, loss_section(query_regularizer_weight=0.0, distillation="kl"))
        training = training_section(max_steps=2, warmup_ratio=0.0, weight_decay=0.0, gradient_checkpointing=checkpointing)
        train(model, loss, encoder, rows, training, seed=1, checkpoints=tmp_path / name, resume_from=None)
        assert model[0].model.is_gradient_checkpointing == checkpointing
        weights.append(model.state_dict())
    for key, value in weights[0].items():
        torch.testing.assert_close(weights[1][key], value, rtol=1e-5, atol=1e-6)
