"""Model families that are used as bases: each builds, trains a step, saves and loads again; a model that cannot work is refused."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from sentence_transformers import SparseEncoder
from transformers import AutoModel, AutoModelForPreTraining, GPT2Config, GPT2LMHeadModel

from stages.encoders.building import ENCODERS
from stages.pretrained.base_check import POSITIVE_LIMIT, probe_head, require_sound
from stages.pretrained.check import check_model, require_weights
from stages.pretrained.files import Use
from stages.pretrained.norbert import prepare_base
from tests import tiny_models
from tests.conftest import SENTENCES
from tests.refused import refused
from tests.sections import loss_section, model_section
from tests.tiny_models import FAMILIES, PIECES, write_base

MODEL, LOSS = model_section(max_seq_length=48, hidden_dim=64), loss_section()
USE = Use("models.x", "some/model", "fill-mask")


@pytest.mark.parametrize("family", FAMILIES)
def test_each_family_trains_a_step_and_gives_the_same_embeddings_in_stock(family: str, tmp_path: Path) -> None:
    base = write_base(tmp_path / "base", family)
    assert prepare_base(base, tmp_path / "work") == base
    check_model(base, replace(USE, max_seq_length=60))
    encoder = ENCODERS["splade"]
    model = encoder.build(base, MODEL, [])
    require_sound(model, base)
    positive_share, active_dims = probe_head(model[0])
    assert 0 < positive_share < POSITIVE_LIMIT and active_dims > 0
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    loss = encoder.make_loss(model.train(), LOSS)
    terms = loss([model.preprocess(SENTENCES[:4]), model.preprocess(SENTENCES[4:])], None)
    sum(terms.values()).backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in model.parameters())
    torch.optim.SGD(model.parameters(), lr=0.05).step()
    assert any(not torch.equal(p, before[name]) for name, p in model.named_parameters())

    ours = model.encode_document(SENTENCES, convert_to_sparse_tensor=False)
    model.save_pretrained(str(tmp_path / "final"), create_model_card=False)
    stock = SparseEncoder(str(tmp_path / "final")).encode_document(SENTENCES, convert_to_sparse_tensor=False)
    assert torch.equal(ours, stock)
    assert (ours == 0).any(1).all() and (ours > 0).any(1).all()


def test_electra_without_a_masked_lm_head_is_refused(tmp_path: Path) -> None:
    base = write_base(tmp_path / "base", "electra", AutoModelForPreTraining, embedding_size=16)
    assert json.loads((base / "config.json").read_text())["architectures"] == ["ElectraForPreTraining"]
    with refused("models.x", "no complete masked-LM head", "generator_", "ForMaskedLM", "csr"):
        require_weights(base, USE)
    require_weights(write_base(tmp_path / "generator", "electra", embedding_size=16), USE)


@pytest.mark.parametrize("family", ["bert", "distilbert", "deberta-v2"])
def test_a_plain_encoder_is_refused_for_splade_and_accepted_for_csr(family: str, tmp_path: Path) -> None:
    base = write_base(tmp_path / "base", family, AutoModel)
    with refused("models.x", "no complete masked-LM head"):
        require_weights(base, USE)
    require_sound(ENCODERS["csr"].build(base, MODEL, []), base)


def test_a_masked_lm_without_pooler_is_accepted_for_csr(tmp_path: Path) -> None:
    base = write_base(tmp_path / "base", "bert")
    require_sound(ENCODERS["csr"].build(base, MODEL, []), base)


def test_a_model_type_without_a_masked_lm_class_is_refused(tmp_path: Path) -> None:
    config = GPT2Config(vocab_size=len(PIECES), n_positions=64, n_embd=24, n_layer=1, n_head=2)
    GPT2LMHeadModel(config).save_pretrained(str(tmp_path / "base"))
    with refused("models.x", "no fill-mask model class"):
        require_weights(tmp_path / "base", USE)


def test_a_layer_missing_from_the_weights_is_refused(tmp_path: Path) -> None:
    base = write_base(tmp_path / "base", "bert")
    config = json.loads((base / "config.json").read_text())
    (base / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 3}), encoding="utf-8")
    with refused("models.x", "bert.encoder.layer.2.", "more weights", "random"):
        require_weights(base, USE)


def test_a_head_that_cannot_give_zeros_is_refused_before_training(tmp_path: Path) -> None:
    base = write_base(tmp_path / "base", "bert")
    model = ENCODERS["splade"].build(base, MODEL, [])
    head = model[0].model.cls.predictions.decoder
    head.register_forward_hook(lambda module, inputs, logits: 30 * torch.sigmoid(logits / 7.5))
    with refused("model.base_model", "positive logits", "100.0% of the vocabulary"):
        require_sound(model, base)


def test_the_probe_counts_positive_logits_and_restores_the_mode(tmp_path: Path) -> None:
    base = write_base(tmp_path / "base", "bert")
    transformer = ENCODERS["splade"].build(base, MODEL, [])[0].train()
    decoder = transformer.model.cls.predictions.decoder
    with torch.no_grad():
        decoder.weight.zero_()
        decoder.bias.fill_(-1.0)
        decoder.bias[:30] = 1.0
    assert probe_head(transformer) == (pytest.approx(30 / len(PIECES)), 30)
    assert transformer.training and transformer.model.training


@pytest.mark.parametrize("architecture", ["splade", "inference-free-splade"])
@pytest.mark.parametrize("kind", ["splade", "inference-free-splade", "sub-folder"])
def test_a_sentence_transformers_model_is_a_base_in_any_layout(architecture: str, kind: str, tmp_path: Path) -> None:
    base = tiny_models.save(tmp_path / "model", "splade" if kind == "sub-folder" else kind)
    if kind == "sub-folder":
        (base / "0_Transformer").mkdir()
        for path in [path for path in base.iterdir() if path.is_file() and path.name != "modules.json"]:
            path.rename(base / "0_Transformer" / path.name)
        (base / "modules.json").write_text((base / "modules.json").read_text().replace('"path": ""', '"path": "0_Transformer"'))
    check_model(base, USE)
    model = ENCODERS[architecture].build(base, MODEL, SENTENCES)
    require_sound(model, base)
    [file] = [path for path in base.rglob("model.safetensors") if "Static" not in path.parent.name]
    ours, theirs = (
        next(weight for name, weight in weights.items() if name.endswith("word_embeddings.weight"))
        for weights in (model.cpu().state_dict(), load_file(file))
    )
    assert torch.equal(ours, theirs)
