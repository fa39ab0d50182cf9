"""The regularisers match the formulas of their papers, and the controller moves in the right direction."""

import math
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from sentence_transformers.sparse_encoder.losses import FlopsLoss

from stages.encoders.building import ENCODERS
from stages.encoders.regularizers import DfFlopsLoss, L1Loss, Regularizer, make_regularizer
from tests.conftest import SENTENCES
from tests.sections import model_section

ROWS = torch.tensor([[1.0, 2.0, 0.0, 0.0], [3.0, 0.0, 0.0, 0.0]])


def test_flops_is_that_of_sentence_transformers(base: Path) -> None:
    model = ENCODERS["splade"].build(base, model_section(), SENTENCES)
    ours = make_regularizer("flops", model, None).compute_loss_from_embeddings(ROWS)
    assert torch.equal(ours, FlopsLoss(model).compute_loss_from_embeddings(ROWS))
    assert ours == 2.0**2 + 1.0**2


def test_l1_is_the_mean_norm_of_the_rows() -> None:
    assert L1Loss().compute_loss_from_embeddings(ROWS) == (3 + 3) / 2


def test_df_flops_gives_rare_terms_little_weight() -> None:
    loss = DfFlopsLoss(alpha=0.1, beta=10)
    loss.frequency = torch.tensor([1.0, 0.1, 0.01, 0.0])
    always, at_alpha, rare, never = loss.weight().tolist()
    assert always == pytest.approx(1)
    assert at_alpha == pytest.approx(0.5)
    assert rare < 0.01
    assert never == pytest.approx(0, abs=1e-6)


def test_df_flops_counts_frequencies_in_training_only() -> None:
    loss = DfFlopsLoss()
    with torch.no_grad():
        loss.compute_loss_from_embeddings(ROWS)
    assert loss.frequency.tolist() == [0, 0, 0, 0]
    assert loss.batches == 0
    value = loss.compute_loss_from_embeddings(ROWS)
    assert loss.frequency.tolist() == [1, 0.5, 0, 0]
    expected = (loss.weight() * torch.tensor([2.0, 1.0, 0, 0])).square().sum()
    assert value == pytest.approx(expected.item())
    loss.compute_loss_from_embeddings(torch.zeros(2, 4))
    assert loss.frequency.tolist() == [0.5, 0.25, 0, 0]


def test_df_flops_has_finite_gradients_for_unused_terms() -> None:
    rows = ROWS.clone().requires_grad_()
    DfFlopsLoss().compute_loss_from_embeddings(rows).backward()
    assert rows.grad is not None and torch.isfinite(rows.grad).all()


@pytest.mark.parametrize(("target", "direction"), [(1, 1), (100, -1)])
def test_steering_raises_the_factor_above_the_target_and_lowers_it_below(target: int, direction: int) -> None:
    steered = Regularizer(L1Loss(), target)
    factors = []
    for _ in range(5):
        steered.compute_loss_from_embeddings(torch.ones(2, 10))
        steered.steer(rate=0.1)
        factors.append(math.log(steered.factor.item()))
    assert all(direction * later > direction * earlier for earlier, later in pairwise(factors))
    assert direction * factors[0] > 0
    assert steered.compute_loss_from_embeddings(torch.ones(2, 10)).item() == pytest.approx(10 * steered.factor.item())


def test_a_dense_start_comes_down_to_the_target_in_steps() -> None:
    steered = Regularizer(L1Loss(), target=2)
    factors = []
    for progress in (0.0, 0.2, 0.4, 1.0):  # ten dimensions stay active, and more and more of them are too many
        steered.compute_loss_from_embeddings(torch.ones(2, 10))
        steered.steer(rate=0.0, progress=progress)
        factors.append(steered.factor.item())
    assert factors == pytest.approx([1, 5, 25, 25])  # GAIN is 2: the square of the ratio to the setpoint, 10, √20 and 2


def test_a_start_below_the_target_is_allowed_to_grow_at_once() -> None:
    steered = Regularizer(L1Loss(), target=40)
    steered.compute_loss_from_embeddings(torch.ones(2, 10))
    steered.steer(rate=0.0, progress=0.0)
    assert steered.factor.item() == pytest.approx((10 / 40) ** 2)


def test_without_a_target_nothing_is_steered() -> None:
    free = Regularizer(L1Loss())
    free.compute_loss_from_embeddings(torch.ones(2, 10))
    free.steer(rate=0.1)
    assert free.factor == 1
    assert free.active_dims == 10


def test_a_target_of_0_leaves_the_weight_as_it_is(base: Path) -> None:
    model = ENCODERS["splade"].build(base, model_section(), SENTENCES)
    assert make_regularizer("flops", model, 0).target is None
    assert make_regularizer("flops", model, 1).target == 1


def test_empty_rows_are_counted() -> None:
    regularizer = Regularizer(L1Loss())
    regularizer.compute_loss_from_embeddings(torch.tensor([[0.0, 0.0], [0.0, 1.0]]))
    assert regularizer.empty == 0.5
    assert regularizer.active_dims == 0.5
