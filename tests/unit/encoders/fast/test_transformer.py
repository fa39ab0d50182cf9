"""Encoded in length buckets, a batch has the same loss and gradients with less padding."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from sentence_transformers import SparseEncoder
from sentence_transformers.base.modules import Router, Transformer

from stages.encoders.building import ENCODERS
from stages.encoders.fast.model import make_fast
from tests.conftest import SENTENCES
from tests.sections import loss_section, model_section
from tests.tiny_models import without_dropout
from tests.watching import watched

MODEL, LOSS = model_section(max_seq_length=60), loss_section(query_regularizer_weight=0.02, document_regularizer_weight=0.03)
QUERIES = [text.split()[0] for text in SENTENCES]
DOCUMENTS = [" ".join([*SENTENCES, *SENTENCES][row : row + 1 + row % 4]) for row in range(len(SENTENCES))]
COLUMNS = [QUERIES, DOCUMENTS, DOCUMENTS[3:] + DOCUMENTS[:3]]


@pytest.fixture(params=["splade", "inference-free-splade", "csr"])
def architecture(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def model(architecture: str, base: Path) -> SparseEncoder:
    torch.manual_seed(1)
    return without_dropout(ENCODERS[architecture].build(base, MODEL, SENTENCES).to("cpu", torch.float64))


def step(architecture: str, model: SparseEncoder, **options: Any) -> dict[str, torch.Tensor]:
    """The loss terms and all gradients of one step."""
    loss = ENCODERS[architecture].make_loss(model, LOSS, **options)
    tasks = ["query", "document", "document"]
    routed = isinstance(model[0], Router)
    features = [
        model.preprocess(texts, prompt=model.prompts.get(task), task=task) | ({"task": task} if routed else {})
        for texts, task in zip(COLUMNS, tasks, strict=True)
    ]
    terms: dict[str, torch.Tensor] = loss(features, None)
    model.zero_grad()
    torch.stack(list(terms.values())).sum().backward()
    return {name: term.detach() for name, term in terms.items()} | {
        name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None
    }


def assert_same(got: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    assert got.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(got[name], value, check_dtype=False, rtol=1e-7, atol=1e-12)  # GradCache's terms are float32


def test_a_step_in_buckets_equals_that_of_the_unsplit_batch(architecture: str, model: SparseEncoder) -> None:
    with watched(model) as whole:
        expected = step(architecture, model)
    make_fast(model, split_padding=8)
    with watched(model) as parts:
        found = step(architecture, model)
    assert sum(rows for rows, _ in parts) == sum(rows for rows, _ in whole)
    assert sum(rows * width for rows, width in parts) < 0.75 * sum(rows * width for rows, width in whole)
    assert_same(found, expected)


@pytest.mark.parametrize("architecture", ["splade"], indirect=True)
def test_words_are_looked_up_once_for_all_buckets_and_columns(architecture: str, model: SparseEncoder) -> None:
    words = next(module for module in model.modules() if isinstance(module, Transformer)).model.get_input_embeddings()
    make_fast(model, split_padding=8)
    loss = ENCODERS[architecture].make_loss(model, LOSS)
    nodes = [loss([model.preprocess(texts) for texts in COLUMNS], None)["base_loss"].grad_fn]
    for node in nodes:
        nodes += [each for each, _ in node.next_functions if each and each not in nodes]
    lookups = [node for node in nodes if node.name() == "EmbeddingBackward0" and node.next_functions[0][0].variable is words.weight]
    assert len(lookups) == 1  # each has a gradient as large as the word embeddings


@pytest.mark.parametrize("architecture", ["splade"], indirect=True)
def test_queries_and_documents_share_a_pass_unless_their_prompts_differ(architecture: str, model: SparseEncoder) -> None:
    texts = sum(map(len, COLUMNS))
    for prompts, passes in (({}, [texts]), ({"query": "spørsmål: ", "document": "tekst: "}, [len(QUERIES), texts - len(QUERIES)])):
        model.prompts = prompts
        make_fast(model)
        with watched(model) as whole:
            expected = step(architecture, model)
        make_fast(model, split_padding=100_000)
        with watched(model) as seen:
            found = step(architecture, model)
        assert [rows for rows, _ in whole] == [len(QUERIES), texts - len(QUERIES)]
        assert [rows for rows, _ in seen] == passes
        assert_same(found, expected)


@pytest.mark.parametrize("architecture", ["splade", "inference-free-splade"], indirect=True)
def test_a_step_in_buckets_is_the_same_with_gradcache_and_gradient_checkpointing(architecture: str, model: SparseEncoder) -> None:
    expected = step(architecture, model)
    make_fast(model, split_padding=8)
    assert_same(step(architecture, model, mini_batch_size=3), expected)
    next(module for module in model.modules() if isinstance(module, Transformer)).model.gradient_checkpointing_enable()
    assert_same(step(architecture, model), expected)


def test_a_copy_of_a_model_with_buckets_uses_its_own_weights(architecture: str, model: SparseEncoder) -> None:
    make_fast(model, split_padding=8)
    other = copy.deepcopy(model)
    expected = step(architecture, model)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    assert_same(step(architecture, other), expected)


@pytest.mark.parametrize("architecture", ["splade"], indirect=True)
def test_a_batch_is_not_split_if_that_saves_too_little_or_outside_training(model: SparseEncoder) -> None:
    features = model.preprocess(DOCUMENTS)
    whole = [tuple(features["input_ids"].shape)]
    for saving, training in ((0, True), (100_000, True), (1, False)):
        make_fast(model, split_padding=saving)
        with watched(model.train(training)) as seen:
            model(dict(features))
        assert seen == whole


@pytest.mark.parametrize("architecture", ["splade"], indirect=True)
def test_with_the_stock_head_a_batch_is_not_split(model: SparseEncoder) -> None:
    model[1].pooling_strategy = "sum"
    note = "0: no length buckets (it has the stock SPLADE head, whose logits are too large to concatenate)"
    assert make_fast(model, split_padding=1)[1:] == [note]
    with watched(model) as seen:
        model(model.preprocess(DOCUMENTS))
    assert [rows for rows, _ in seen] == [len(DOCUMENTS)]


@pytest.mark.parametrize("architecture", ["csr"], indirect=True)
def test_with_the_output_of_all_layers_a_batch_is_not_split(model: SparseEncoder) -> None:
    next(module for module in model.modules() if isinstance(module, Transformer)).config.output_hidden_states = True
    make_fast(model, split_padding=1)
    with watched(model) as seen:
        found = model(model.preprocess(DOCUMENTS))
    assert [rows for rows, _ in seen] == [len(DOCUMENTS)]
    assert len(found["all_layer_embeddings"]) == 2


@pytest.mark.parametrize("architecture", ["splade"], indirect=True)
def test_a_batch_padded_on_the_left_is_not_split(model: SparseEncoder) -> None:
    features = {key: value.flip(1) if key != "token_type_ids" else value for key, value in tensors(model.preprocess(DOCUMENTS)).items()}
    make_fast(model, split_padding=1)
    with watched(model) as seen:
        model(features)
    assert [rows for rows, _ in seen] == [len(DOCUMENTS)]


def tensors(features: dict[str, Any]) -> dict[str, torch.Tensor]:
    return {key: value for key, value in features.items() if isinstance(value, torch.Tensor)}
