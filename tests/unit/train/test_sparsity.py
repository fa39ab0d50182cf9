"""Sparsity is logged and steered to its target, and a collapse ends the run."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from datasets import Dataset
from sentence_transformers import SparseEncoder
from sentence_transformers.sparse_encoder.modules import SparseAutoEncoder
from transformers import TrainerControl, TrainerState, TrainingArguments

from stages.config.schema import Training
from stages.encoders.building import ENCODERS
from stages.encoders.fast.model import make_fast
from stages.train.data import TrainingRows
from stages.train.sparsity import ALIKE_LIMIT, SparsityCallback, load_loss_state, loss_state, mean_cosine_distance, regularizers
from stages.train.trainer import train
from tests import tiny_models
from tests.refused import refused
from tests.sections import loss_section, model_section, training_section

Draw = Callable[..., Path]
short = partial(training_section, logging_steps=5)


def run(base: Path, rows: TrainingRows, training: Training, folder: Path, **options: float) -> tuple[SparseEncoder, list, torch.nn.Module]:
    encoder = ENCODERS["splade"]
    torch.manual_seed(1)
    model = encoder.build(base, model_section(), [])
    make_fast(model)
    loss = encoder.make_loss(model, loss_section(**options))
    return model, train(model, loss, encoder, rows, training, seed=1, checkpoints=folder, resume_from=None).log, loss


def active(embeddings: torch.Tensor) -> float:
    return embeddings.to_dense().gt(0).sum(dim=1).float().mean().item()


def test_the_log_has_the_active_dimensions(draw_base: Draw, rows: TrainingRows, tmp_path: Path) -> None:
    model, log, _ = run(draw_base(), rows, short(learning_rate=1e-9), tmp_path)
    seen = active(model.encode_document([*rows.texts["positive"], *rows.texts["negative"]]))
    assert log[-1]["document_active_dims"] == pytest.approx(seen, rel=0.2)  # measured with dropout, which moves frequent tokens near 0
    assert "query_active_dims" in log[-1]


@pytest.mark.parametrize(
    ("side", "regularizer"),
    [
        ("document", "flops"),
        *(pytest.param(*case, marks=pytest.mark.slow) for case in (("query", "flops"), ("document", "l1"), ("document", "df_flops"))),
    ],
)
def test_a_target_is_reached_within_15_percent(side: str, regularizer: str, draw_base: Draw, rows: TrainingRows, tmp_path: Path) -> None:
    target: dict[str, float] = {"target_active_dims" if side == "document" else "query_target_active_dims": 40}
    if regularizer == "df_flops":  # only frequent terms cost, so that the weight must be larger: a short run cannot raise it 80 times
        target |= {"document_regularizer_weight": 1e-2}
    model, log, _ = run(draw_base(bias=2.0), rows, short(num_train_epochs=10), tmp_path, regularizer=regularizer, **target)
    assert log[0][f"{side}_active_dims"] > 3 * 40
    texts = rows.texts["anchor"] if side == "query" else [*rows.texts["positive"], *rows.texts["negative"]]
    seen = active((model.encode_query if side == "query" else model.encode_document)(list(texts)))
    assert seen == pytest.approx(40, rel=0.15)
    assert log[-1][f"{side}_active_dims"] == pytest.approx(seen, rel=0.1)


def test_a_regulariser_that_empties_the_rows_ends_the_run(draw_base: Draw, rows: TrainingRows, tmp_path: Path) -> None:
    with refused("have no active dimension", "lower loss.", "_regularizer_weight"):
        run(draw_base(), rows, short(num_train_epochs=3, learning_rate=1e-2), tmp_path, document_regularizer_weight=1e4)


def test_a_representation_that_stays_dense_ends_the_run(draw_base: Draw, rows: TrainingRows, tmp_path: Path) -> None:
    with refused("stay dense", "raise loss.", "_regularizer_weight"):
        run(draw_base(bias=6.0), rows, short(), tmp_path, document_regularizer_weight=0.0, query_regularizer_weight=0.0)


@pytest.mark.parametrize("learning_rate", [0.3, 1.0])
def test_one_vector_for_all_texts_ends_the_run_before_a_checkpoint(
    learning_rate: float, draw_base: Draw, rows: TrainingRows, tmp_path: Path
) -> None:
    with refused("16 different queries", "same vector", "lower training.learning_rate"):
        run(draw_base(), rows, short(learning_rate=learning_rate, save_steps=15), tmp_path)
    assert not list(tmp_path.glob("checkpoint-*"))


def test_a_csr_model_without_active_dimensions_ends_the_run(tmp_path: Path) -> None:
    model = SparseEncoder(str(tiny_models.save(tmp_path / "model", "csr")), device="cpu")
    [autoencoder] = [module for module in model.modules() if isinstance(module, SparseAutoEncoder)]
    probe = Dataset.from_dict({"anchor": ["hvem?", "hva?", "hvor?"], "positive": ["et", "to", "tre"]})
    callback = SparsityCallback(torch.nn.ModuleList([model]), None, probe)
    args, state = TrainingArguments(str(tmp_path), learning_rate=0.3), TrainerState(log_history=[{}], global_step=10)
    callback.on_log(args, state, TrainerControl(), {"loss": 1.0}, model)
    with torch.no_grad():
        autoencoder.latent_bias.fill_(-1e6)
    with refused("step 10", "100% of queries", "no active dimension", "training.learning_rate (0.3)"):
        callback.on_log(args, state, TrainerControl(), {"loss": 1.0}, model)


def test_the_cosine_distance_is_zero_only_if_all_vectors_are_parallel() -> None:
    one = torch.rand(1, 50)
    assert mean_cosine_distance(one.repeat(16, 1) * torch.rand(16, 1)) == pytest.approx(0, abs=1e-6)  # lengths do not count
    assert mean_cosine_distance(one.repeat(16, 1) + 0.01 * torch.rand(16, 50)) > ALIKE_LIMIT
    assert mean_cosine_distance(torch.cat([one.repeat(15, 1), 1 - one])) > 0.01
    assert mean_cosine_distance(torch.zeros(16, 50)) == 1  # empty vectors are checked elsewhere


def test_a_loss_that_is_not_finite_ends_the_run_before_a_checkpoint(draw_base: Draw, rows: TrainingRows, tmp_path: Path) -> None:
    with refused("document_regularizer_loss", "step 5", "lower training.learning_rate"):
        run(draw_base(), rows, short(learning_rate=1.0, save_steps=5), tmp_path, document_regularizer_weight=float("inf"))
    assert not list(tmp_path.glob("checkpoint-*"))


def test_a_resumed_run_is_steered_like_an_uninterrupted_one(draw_base: Draw, rows: TrainingRows, tmp_path: Path) -> None:
    training = short(max_steps=40, save_steps=20, save_total_limit=2)
    options = {"regularizer": "df_flops", "target_active_dims": 30}
    base = draw_base(bias=2.0)
    whole, log, loss = run(base, rows, training, tmp_path, **options)
    encoder = ENCODERS["splade"]
    model = encoder.build(base, model_section(), [])
    make_fast(model)
    fresh = encoder.make_loss(model, loss_section(**options))
    resumed = train(model, fresh, encoder, rows, training, seed=1, checkpoints=tmp_path, resume_from=tmp_path / "checkpoint-20")
    assert resumed.log == log
    assert all(torch.equal(value, loss_state(loss)[key]) for key, value in loss_state(fresh).items())
    assert regularizers(fresh)["document"].factor != 1
    assert all(torch.equal(a, b) for a, b in zip(whole.state_dict().values(), model.state_dict().values(), strict=True))


def test_a_dense_run_that_is_getting_sparser_continues_also_after_an_interruption(
    draw_base: Draw, rows: TrainingRows, tmp_path: Path
) -> None:
    encoder = ENCODERS["splade"]
    model = encoder.build(draw_base(), model_section(), [])
    logged = {"loss": 1.0}
    control, state = TrainerControl(), TrainerState(max_steps=100, log_history=[logged])

    def log(loss: torch.nn.Module, active: float) -> None:
        """A logging step with ``active`` of 1,000 dimensions active."""
        for regularizer in regularizers(loss).values():
            regularizer.active_dims.fill_(active)
            regularizer.dimensions = 1000
        SparsityCallback(loss, None, rows.texts).on_log(TrainingArguments(), state, control, logs=dict(logged), model=model)

    before, after = encoder.make_loss(model, loss_section()), encoder.make_loss(model, loss_section())
    log(before, 900.0)  # the first value shows no trend
    load_loss_state(after, loss_state(before))
    log(after, 800.0)
    with refused("stay dense", "800 of 1000 dimensions"):
        log(after, 800.0)
