"""Each encoder trains a step, and saves a stock sentence-transformers model with the same embeddings."""

import re
from pathlib import Path

import pytest
import torch
from sentence_transformers import SparseEncoder
from sentence_transformers.sparse_encoder.modules import SparseAutoEncoder
from transformers import AutoModelForMaskedLM, AutoTokenizer, BertForMaskedLM

from stages.config.schema import Prompts
from stages.encoders.active_dims import autoencoder_of
from stages.encoders.building import ENCODERS
from stages.encoders.csr import dense_base, largest, similarity_loss
from stages.make_base.dense import make_dense
from stages.rows.idf import idf
from tests.conftest import SENTENCES
from tests.refused import refused
from tests.sections import loss_section, model_section

MODEL, LOSS = model_section(), loss_section()
ARCHITECTURES = ("splade", "inference-free-splade", "csr")


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_saved_model_is_stock_and_gives_the_same_embeddings(architecture: str, base: Path, tmp_path: Path) -> None:
    model = ENCODERS[architecture].build(base, MODEL, SENTENCES)
    model.save_pretrained(str(tmp_path), create_model_card=False)
    stock = SparseEncoder(str(tmp_path))
    for encode in ("encode_query", "encode_document"):
        ours, theirs = (getattr(m, encode)(SENTENCES, convert_to_sparse_tensor=False) for m in (model, stock))
        assert torch.equal(ours, theirs)
        assert 0 < (ours > 0).float().mean() < 0.5


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_loss_reaches_the_parameters(architecture: str, base: Path) -> None:
    encoder = ENCODERS[architecture]
    model = encoder.build(base, MODEL, SENTENCES).train()
    loss = encoder.make_loss(model, LOSS)
    routes = (("anchor", SENTENCES[:4]), ("positive", SENTENCES[4:]))
    features = [model.preprocess(texts, task="query" if name == "anchor" else "document") for name, texts in routes]
    features = [f | {"task": "query" if i == 0 else "document"} if encoder.routed else f for i, f in enumerate(features)]
    terms = loss(features, None)
    sum(terms.values()).backward()
    assert all(torch.isfinite(term) for term in terms.values())
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


def test_special_tokens_of_a_made_base_have_no_weight(base: Path) -> None:
    model = ENCODERS["splade"].build(base, MODEL, SENTENCES)
    embeddings = model.encode_document(SENTENCES, convert_to_sparse_tensor=False)
    assert embeddings[:, model.tokenizer.all_special_ids].abs().sum() == 0


def test_a_made_base_starts_lexical(base: Path) -> None:
    model = ENCODERS["splade"].build(base, MODEL, SENTENCES)
    for sentence in SENTENCES:
        [embedding] = model.encode_document([sentence], convert_to_sparse_tensor=False)
        own = sorted(set(model.tokenizer(sentence, add_special_tokens=False)["input_ids"]))
        others = embedding.clone()
        others[own] = 0
        assert others.sum() < 0.1 * embedding[own].sum()
        rare = model.tokenizer(max(sentence.split(), key=len), add_special_tokens=False)["input_ids"]
        assert (embedding[rare] > 0).all()


def test_no_transformer_layer_runs_for_an_inference_free_query(base: Path) -> None:
    model = ENCODERS["inference-free-splade"].build(base, MODEL, SENTENCES)
    calls = []
    for module in model.modules():
        if type(module).__name__ == "BertLayer":
            module.register_forward_hook(lambda *_: calls.append("layer"))
    model.encode_query(SENTENCES)
    assert calls == []
    model.encode_document(SENTENCES)
    assert calls


def test_the_query_weights_of_inference_free_start_at_idf_and_have_their_own_learning_rate_pattern(base: Path) -> None:
    encoder = ENCODERS["inference-free-splade"]
    model = encoder.build(base, MODEL, SENTENCES)
    tokenizer = model.tokenizer
    matched = [name for name, _ in model.named_parameters() if re.search(encoder.query_parameters, name)]
    assert matched == ["0.sub_modules.query.0.weight"]
    weight = dict(model.named_parameters())[matched[0]]
    expected = idf(tokenizer, SENTENCES, weight.shape[0])
    assert torch.equal(weight.detach(), expected)
    common, rare = (tokenizer(text, add_special_tokens=False)["input_ids"][0] for text in (".", "museet"))
    assert expected[common] < expected[rare]
    assert expected[tokenizer.all_special_ids].abs().sum() == 0


def test_a_negative_query_weight_of_inference_free_is_0_at_its_next_use(base: Path) -> None:
    model = ENCODERS["inference-free-splade"].build(base, MODEL, SENTENCES)
    weight = dict(model.named_parameters())["0.sub_modules.query.0.weight"]
    before = model.encode_query(SENTENCES, convert_to_sparse_tensor=False)
    token = int(before[0].argmax())
    weight.data[token] = -1.0
    after = model.encode_query(SENTENCES, convert_to_sparse_tensor=False)
    assert (after >= 0).all()
    assert after[0, token] == 0 < before[0, token]
    assert weight[token] == 0, "the model that is saved has no negative weight either"


def test_an_inference_free_model_loads_if_its_base_has_more_tokens_than_the_tokenizer(base: Path, tmp_path: Path) -> None:
    larger = BertForMaskedLM.from_pretrained(base)
    larger.resize_token_embeddings(larger.config.vocab_size + 12)
    larger.save_pretrained(tmp_path / "base")
    AutoTokenizer.from_pretrained(base).save_pretrained(tmp_path / "base")
    model = ENCODERS["inference-free-splade"].build(tmp_path / "base", MODEL, SENTENCES)
    model.save_pretrained(str(tmp_path / "saved"), create_model_card=False)
    stock = SparseEncoder(str(tmp_path / "saved"))
    ours, theirs = (m.encode_query(SENTENCES, convert_to_sparse_tensor=False) for m in (model, stock))
    assert torch.equal(ours, theirs)


def test_idf_is_the_formula_of_bm25_over_distinct_documents(base: Path) -> None:
    tokenizer = ENCODERS["splade"].build(base, MODEL, SENTENCES).tokenizer
    rows = ["museet", "ferja", *["museet", " Museet"] * 10_000, "museet båten"]  # more rows than one chunk
    weight = idf(tokenizer, rows, len(tokenizer))
    assert weight.dtype == torch.float32
    for word, documents in (("ferja", 1), ("museet", 2)):
        token = tokenizer(word, add_special_tokens=False)["input_ids"][0]
        assert weight[token] == pytest.approx(torch.log(torch.tensor(1 + (3 - documents + 0.5) / (documents + 0.5))).item())


def test_csr_does_not_change_its_dense_base(base: Path) -> None:
    encoder = ENCODERS["csr"]
    model = encoder.build(base, MODEL, SENTENCES).train()
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    optimizer = torch.optim.SGD([weight for weight in model.parameters() if weight.requires_grad], lr=0.1)
    features = [model.preprocess(texts) for texts in (SENTENCES[:4], SENTENCES[4:])]
    sum(encoder.make_loss(model, LOSS)(features, None).values()).backward()
    optimizer.step()
    changed = {name.split(".")[0] for name, weight in model.state_dict().items() if not torch.equal(weight, before[name])}
    place = next(place for place, module in model.named_children() if isinstance(module, SparseAutoEncoder))
    assert changed == {place}
    assert not model[0].training  # no dropout in the vectors that the autoencoder learns from


@pytest.mark.parametrize(("hidden_dim", "latents"), [(None, 32), (33, 33), (256, 256)])
@pytest.mark.parametrize("prompt", ["", "museet ferja: "])
def test_all_latents_of_an_untrained_csr_model_reproduce_the_whitened_vectors(
    prompt: str, hidden_dim: int | None, latents: int, base: Path
) -> None:
    section = model_section(hidden_dim=hidden_dim, whitening=0.5, prompts=Prompts(document=prompt))
    model = ENCODERS["csr"].build(base, section, SENTENCES[:4], SENTENCES[4:])
    assert model.prompts["document"] == prompt
    assert model.get_embedding_dimension() == latents
    axes = min(63, (latents + 1) // 2)  # of 64: queries and documents differ along the last
    autoencoder = autoencoder_of(model)
    assert autoencoder is not None
    dense = dense_base(base, MODEL).encode([prompt + text for text in SENTENCES], convert_to_tensor=True, normalize_embeddings=True).cpu()
    whitening = dict(model.to("cpu").named_children())["whitening"]
    whitened = torch.nn.functional.normalize(whitening({"sentence_embedding": dense})["sentence_embedding"])
    assert whitened.shape[1] == axes
    signed = autoencoder.encode_pre_act(whitened).relu()
    torch.testing.assert_close(model.encode_document(SENTENCES).to_dense(), largest(signed, MODEL.k), rtol=1e-4, atol=1e-4)
    if latents % 2 == 0:
        signed[:, 2 * axes :] = 0
        torch.testing.assert_close(autoencoder.decode(signed), whitened, rtol=1e-4, atol=1e-5)


def test_csr_refuses_more_active_dimensions_than_a_quarter_of_its_latents(base: Path) -> None:
    with refused("model.k", "quarter of the 126 latents", "got 32"):
        ENCODERS["csr"].build(base, model_section(hidden_dim=None, k=32), SENTENCES[:4], SENTENCES[4:])


def test_csr_whitens_its_bases_vectors_and_so_does_the_saved_model(base: Path, tmp_path: Path) -> None:
    model = ENCODERS["csr"].build(base, model_section(whitening=1.0), SENTENCES[:4], SENTENCES[4:])
    dense = dense_base(base, MODEL).encode(SENTENCES, convert_to_tensor=True, normalize_embeddings=True).cpu()
    whitened = dict(model.to("cpu").named_children())["whitening"]({"sentence_embedding": dense})["sentence_embedding"]
    assert torch.allclose(whitened[:4].mean(dim=0), torch.zeros(63), atol=1e-4)  # without what tells the two kinds apart
    assert torch.allclose(whitened[4:].mean(dim=0), torch.zeros(63), atol=1e-4)
    model.save_pretrained(str(tmp_path))
    saved = SparseEncoder(str(tmp_path), device="cpu")
    assert torch.equal(saved.encode_query(SENTENCES).to_dense(), model.encode_query(SENTENCES).to_dense())


def test_the_similarity_loss_is_zero_for_the_bases_similarities_only() -> None:
    vectors = torch.nn.functional.normalize(torch.randn(6, 4, generator=torch.Generator().manual_seed(0)), dim=1)
    same = torch.nn.functional.normalize(vectors - vectors.mean(dim=0), dim=1)
    assert similarity_loss(same, vectors).item() == pytest.approx(0, abs=1e-6)
    assert similarity_loss(same.roll(1, dims=0), vectors) > 1


def test_the_largest_latents_of_a_code_equal_the_models_code_with_fewer_active(base: Path) -> None:
    model = ENCODERS["csr"].build(base, MODEL, SENTENCES)
    codes, fewer = (model.encode_document(SENTENCES, max_active_dims=number).to_dense() for number in (MODEL.k, 2))
    torch.testing.assert_close(largest(codes, 2), fewer, rtol=1e-5, atol=1e-5)


def test_csr_builds_on_a_static_model(base: Path, tmp_path: Path) -> None:
    make_dense(base, SENTENCES, tmp_path, dimension=32, seed=1)
    model = ENCODERS["csr"].build(tmp_path, MODEL, SENTENCES)
    assert model.get_embedding_dimension() == MODEL.hidden_dim
    assert (model.encode_query(SENTENCES, convert_to_sparse_tensor=False).count_nonzero(dim=1) <= MODEL.k).all()


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_base_in_half_precision_trains_in_float32(architecture: str, base: Path, tmp_path: Path) -> None:
    AutoModelForMaskedLM.from_pretrained(base, dtype=torch.bfloat16).save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(base).save_pretrained(tmp_path)
    assert "bfloat16" in (tmp_path / "config.json").read_text()
    model = ENCODERS[architecture].build(tmp_path, MODEL, SENTENCES)
    assert {weight.dtype for weight in model.parameters()} == {torch.float32}
