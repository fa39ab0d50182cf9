"""The objective of a step: GradCache, a teacher's scores, several negatives."""

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from sentence_transformers import SparseEncoder

from stages.encoders.building import ENCODERS
from stages.encoders.csr import SCALE
from stages.encoders.fast.model import make_fast
from tests.conftest import SENTENCES
from tests.sections import loss_section, model_section
from tests.tiny_models import without_dropout

ARCHITECTURES = ("splade", "inference-free-splade", "csr")
COLUMNS = ("anchor", "positive", "negative", "negative_2")


def step(
    architecture: str, base: Path, columns: int = 3, scores: torch.Tensor | None = None, mini_batch_size: int | None = None, **knobs: Any
) -> tuple[SparseEncoder, Any]:
    """A model after one backward pass over five rows without dropout, and its loss terms."""
    torch.manual_seed(3)
    encoder = ENCODERS[architecture]
    model = without_dropout(encoder.build(base, model_section(), SENTENCES))
    make_fast(model)
    features = []
    for place, name in enumerate(COLUMNS[:columns]):
        task = "query" if name == "anchor" else "document"
        texts = [SENTENCES[(row + 2 * place) % len(SENTENCES)][: 60 - 7 * row] for row in range(5)]
        features.append(model.preprocess(texts, task=task) | ({"task": task} if encoder.routed else {}))
    settings = loss_section(query_regularizer_weight=1e-2, document_regularizer_weight=1e-2, **knobs)
    terms = encoder.make_loss(model, settings, mini_batch_size)(features, scores)
    sum(terms.values()).backward()
    return model, {name: term.item() for name, term in terms.items()}


@pytest.mark.parametrize("architecture", ["splade", "inference-free-splade"])
@pytest.mark.parametrize("distillation", ["none", "kl"])
def test_gradcache_gives_the_loss_and_gradients_of_the_whole_batch(architecture: str, distillation: str, base: Path) -> None:
    scores = torch.rand(5, 2, generator=torch.Generator().manual_seed(1)) if distillation == "kl" else None
    whole, loss = step(architecture, base, scores=scores, distillation=distillation)
    cached, cached_loss = step(architecture, base, scores=scores, distillation=distillation, mini_batch_size=2)
    assert cached_loss == pytest.approx(loss, abs=1e-5)
    reached = 0
    for (name, one), other in zip(whole.named_parameters(), cached.parameters(), strict=True):
        assert (one.grad is None) == (other.grad is None), name
        if one.grad is not None:
            torch.testing.assert_close(other.grad, one.grad, rtol=1e-5, atol=1e-5, msg=name)
            reached += int(one.grad.abs().max() > 1e-4)
    assert reached > 5


def test_gradcache_encodes_no_more_texts_at_once_than_the_mini_batch(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []
    forward = SparseEncoder.forward
    monkeypatch.setattr(
        SparseEncoder, "forward", lambda self, inputs, **kw: sizes.append(len(inputs["input_ids"])) or forward(self, inputs, **kw)
    )
    step("splade", base, mini_batch_size=2)
    assert max(sizes) == 2 and len(sizes) == 2 * 3 * 3  # twice, three columns, five texts by two


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_negative_of_a_row_takes_part(architecture: str, base: Path) -> None:
    one, two = (step(architecture, base, columns=columns)[1]["base_loss"] for columns in (3, 4))
    assert one < two  # one more document to distinguish the positive from


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("distillation", ["margin_mse", "kl"])
@pytest.mark.parametrize("columns", [3, 4])
def test_distillation_is_the_formula_on_dot_products(architecture: str, distillation: str, columns: int, base: Path) -> None:
    teacher = torch.rand(5, columns - 1, generator=torch.Generator().manual_seed(1)) * 4
    knobs = {"distillation": distillation, "distillation_weight": 3.0, "distillation_temperature": 0.5}
    model, terms = step(architecture, base, columns=columns, scores=teacher, contrastive_weight=0.0, **knobs)
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())
    queries, *documents = (embeddings(model, place) for place in range(columns))
    student = torch.stack([(queries * each).sum(dim=1) for each in documents], dim=1) * (SCALE if architecture == "csr" else 1)
    sharp = teacher / 0.5
    if distillation == "margin_mse":
        expected = F.mse_loss(student[:, :1] - student[:, 1:], sharp[:, :1] - sharp[:, 1:])
    else:
        expected = F.kl_div(student.log_softmax(1), sharp.softmax(1), reduction="batchmean")
    assert terms["distillation_loss"] == pytest.approx(3 * expected.item(), rel=1e-4) and terms["base_loss"] == 0


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_distillation_is_added_to_the_contrastive_term(architecture: str, base: Path) -> None:
    teacher = torch.rand(5, 2, generator=torch.Generator().manual_seed(1)) * 4
    contrast, alone = (step(architecture, base, scores=teacher, distillation="kl", contrastive_weight=weight)[1] for weight in (1.0, 0.0))
    both = step(architecture, base, scores=teacher, distillation="kl", contrastive_weight=2.0)[1]
    plain = step(architecture, base, contrastive_weight=1.0)[1]
    assert both["distillation_loss"] == pytest.approx(alone["distillation_loss"])
    assert both["base_loss"] == pytest.approx(2 * plain["base_loss"]) and contrast["base_loss"] == pytest.approx(plain["base_loss"])
    assert "distillation_loss" not in plain


@pytest.mark.parametrize("columns", [2, 3])
def test_a_batch_without_scores_or_negatives_is_only_contrasted(columns: int, base: Path) -> None:
    _, terms = step("splade", base, columns=columns, scores=torch.ones(5, 1) if columns == 2 else None, distillation="kl")
    assert terms["distillation_loss"] == 0 and terms["base_loss"] > 0


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_own_negatives_count_for_their_row_only(architecture: str, base: Path) -> None:
    model, terms = step(architecture, base, columns=4, hard_negatives="own")
    queries, positives, *others = (embeddings(model, place) for place in range(4))
    scores = torch.cat([queries @ positives.T, *((queries * each).sum(dim=1, keepdim=True) for each in others)], dim=1)
    expected = F.cross_entropy(scores * (SCALE if architecture == "csr" else 1), torch.arange(5))
    assert terms["base_loss"] == pytest.approx(expected.item(), rel=1e-4)
    alone = [step(architecture, base, columns=2, hard_negatives=kind)[1]["base_loss"] for kind in ("own", "batch")]
    assert alone[0] == pytest.approx(alone[1], rel=1e-5)  # without negatives they are the same


def embeddings(model: SparseEncoder, place: int) -> torch.Tensor:
    texts = [SENTENCES[(row + 2 * place) % len(SENTENCES)][: 60 - 7 * row] for row in range(5)]
    encode = model.encode_query if place == 0 else model.encode_document
    found = encode(texts, convert_to_sparse_tensor=False)
    assert isinstance(found, torch.Tensor)
    return found
