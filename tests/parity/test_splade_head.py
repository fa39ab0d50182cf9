"""With the fused head a model trains, embeds and saves like the stock one, for every family of masked language models."""

import copy
import filecmp
from pathlib import Path
from typing import Any

import pytest
import torch
from sentence_transformers import SparseEncoder
from sentence_transformers.base.modules import Router, Transformer
from sentence_transformers.sparse_encoder.losses import CachedSpladeLoss, SparseMultipleNegativesRankingLoss, SpladeLoss
from sentence_transformers.sparse_encoder.modules import SparseStaticEmbedding, SpladePooling
from torch import Tensor, nn
from transformers import BertForMaskedLM

from stages.encoders.fast.head import Head
from stages.encoders.fast.max_pooled_linear import in_blocks
from stages.encoders.fast.model import FastEncoder, make_fast, stock
from stages.encoders.fast.pooling import FastPooling
from stages.encoders.fast.transformer import FastTransformer
from tests import tiny_models
from tests.conftest import SENTENCES
from tests.tiny_models import without_dropout
from tests.watching import watched

QUERIES, POSITIVES = ["Når åpner det?", "Ferja går", "Pris i Aarhus", "Uge 29"], SENTENCES[:4]
NEGATIVES = SENTENCES[4:]
FAMILIES: dict[str, dict[str, Any]] = {family: {} for family in tiny_models.FAMILIES} | {
    "modernbert without bias": {"decoder_bias": False},
    "deberta-v2 with the new head": {"legacy": False},
    "electra": {"embedding_size": 16},
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A base model of each family, with more terms than its tokenizer has."""
    root, size = tmp_path_factory.mktemp("families"), len(tiny_models.PIECES) + 3
    return {name: tiny_models.write_base(root / name, name.split()[0], vocab_size=size, **settings) for name, settings in FAMILIES.items()}


def splade(folder: Path, activation: str = "relu", strategy: str = "max") -> SparseEncoder:
    pooling = SpladePooling(strategy, activation_function=activation)
    return SparseEncoder(modules=[Transformer(str(folder), transformer_task="fill-mask"), pooling], device="cpu")


def fused(model: SparseEncoder) -> SparseEncoder:
    assert not make_fast(model)
    return model


def embed(model: SparseEncoder, texts: list[str], method: str = "encode_document") -> Tensor:
    embeddings: Tensor = getattr(model, method)(texts, convert_to_sparse_tensor=False)
    return embeddings


def step(model: SparseEncoder, columns: list[list[str]], loss_class: type[SpladeLoss] = SpladeLoss, **kwargs: Any):
    """Loss terms and all gradients of one step."""
    weights = {"query_regularizer_weight": 1e-2, "document_regularizer_weight": 1e-2}
    loss = loss_class(model, SparseMultipleNegativesRankingLoss(model), **weights, **kwargs)
    routed = isinstance(model[0], Router)
    features = []
    for row, texts in enumerate(columns):
        task = "query" if row == 0 else "document"
        features.append(model.preprocess(texts, task=task) | ({"task": task} if routed else {}))
    terms = loss(features, None)
    model.zero_grad()
    sum(terms.values()).backward()
    gradients = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    return {name: term.item() for name, term in terms.items()}, gradients


def assert_same_step(ours: Any, stock: Any, relative: float) -> None:
    assert ours[0] == pytest.approx(stock[0], rel=relative)
    assert ours[1].keys() == stock[1].keys()
    whole = max(gradient.norm() for gradient in stock[1].values())
    for name, gradient in stock[1].items():
        # The gradient of a key bias is rounding errors only, so it is measured against the gradient as a whole.
        assert (ours[1][name] - gradient).norm() <= relative * gradient.norm() + 1e-2 * relative * whole, name


@pytest.mark.parametrize("activation", ["relu", "log1p_relu"])
@pytest.mark.parametrize("family", FAMILIES)
def test_each_family_embeds_and_trains_as_stock(family: str, activation: str, folders: dict[str, Path]) -> None:
    model = without_dropout(splade(folders[family], activation))
    stock = embed(model, SENTENCES), step(model.train(), [QUERIES, POSITIVES])
    fused(model)
    torch.testing.assert_close(embed(model, SENTENCES), stock[0], rtol=1e-5, atol=1e-5)
    assert (stock[0] > 0).float().mean() > 0.02
    assert model[0](model.preprocess(["a"]))["token_embeddings"].shape[-1] in (16, 24)
    assert_same_step(step(model.train(), [QUERIES, POSITIVES]), stock[1], 1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_each_family_trains_in_length_buckets_as_in_one_pass(family: str, folders: dict[str, Path]) -> None:
    model = fused(without_dropout(splade(folders[family])).double())
    whole = step(model, [QUERIES, POSITIVES])
    make_fast(model, split_padding=5)
    with watched(model) as seen:
        assert_same_step(step(model, [QUERIES, POSITIVES]), whole, 1e-9)
    assert len(seen) > 2 and sum(rows for rows, _ in seen) == len(QUERIES) + len(POSITIVES)


def test_a_step_equals_stock_to_a_millionth(folders: dict[str, Path]) -> None:
    model = without_dropout(splade(folders["bert"]))
    stock = step(model, [QUERIES, POSITIVES])
    assert_same_step(step(fused(model), [QUERIES, POSITIVES]), stock, 1e-6)


def test_columns_that_are_encoded_in_one_pass_train_as_stock(folders: dict[str, Path]) -> None:
    model = without_dropout(splade(folders["distilbert"]))
    columns = [QUERIES, POSITIVES, NEGATIVES, NEGATIVES[::-1]]
    stock = step(model, columns)
    calls: list[int] = []
    fused(model)[1].register_forward_pre_hook(lambda _, args: calls.append(len(args[0]["input_ids"])))
    assert_same_step(step(model, columns), stock, 1e-5)
    assert calls == [4, 12]


def test_gradient_checkpointing_gives_the_same_gradients(folders: dict[str, Path]) -> None:
    model = without_dropout(splade(folders["bert"]))
    stock = step(model, [QUERIES, POSITIVES])
    model[0].model.gradient_checkpointing_enable({"use_reentrant": False})
    assert_same_step(step(fused(model), [QUERIES, POSITIVES]), stock, 1e-5)


def test_gradcache_gives_the_same_step(folders: dict[str, Path]) -> None:
    model = without_dropout(splade(folders["bert"]))
    stock = step(model, [QUERIES, POSITIVES, NEGATIVES])
    ours = step(fused(model), [QUERIES, POSITIVES, NEGATIVES], CachedSpladeLoss, mini_batch_size=2)
    assert sum(ours[0].values()) == pytest.approx(sum(stock[0].values()), rel=1e-5)
    assert_same_step((stock[0], ours[1]), stock, 1e-5)


def test_the_document_route_of_a_router_is_fused_and_the_query_route_is_not(folders: dict[str, Path]) -> None:
    transformer = Transformer(str(folders["bert"]), transformer_task="fill-mask")
    query = SparseStaticEmbedding(transformer.tokenizer, weight=torch.ones(transformer.model.config.vocab_size))
    document = [transformer, SpladePooling("max", activation_function="log1p_relu")]
    model = without_dropout(
        SparseEncoder(modules=[Router.for_query_document(query_modules=[query], document_modules=document)], device="cpu")
    )
    stock = step(model, [QUERIES, POSITIVES])
    embeddings = [embed(model.eval(), SENTENCES, method) for method in ("encode_query", "encode_document")]
    fused(model)
    assert isinstance(model[0].sub_modules["document"][1], FastPooling)
    assert_same_step(step(model.train(), [QUERIES, POSITIVES]), stock, 1e-5)
    for method, expected in zip(("encode_query", "encode_document"), embeddings, strict=True):
        torch.testing.assert_close(embed(model.eval(), SENTENCES, method), expected, rtol=1e-5, atol=1e-5)


def test_bf16_autocast_gives_float32_gradients_close_to_stock(folders: dict[str, Path]) -> None:
    model = without_dropout(splade(folders["bert"]))
    exact = step(model, [QUERIES, POSITIVES])
    with torch.autocast("cpu", torch.bfloat16):
        stock = step(model, [QUERIES, POSITIVES])
        ours = step(fused(model), [QUERIES, POSITIVES])
    assert all(gradient.dtype == torch.float32 for gradient in ours[1].values())
    for name, gradient in exact[1].items():
        error, stock_error = ((grads[name] - gradient).norm() for grads in (ours[1], stock[1]))
        assert error <= 1.5 * stock_error + 1e-3 * gradient.norm() + 1e-5, name


def test_a_bf16_model_embeds_in_bf16_close_to_stock(folders: dict[str, Path]) -> None:
    model = splade(folders["bert"]).to(torch.bfloat16)
    stock = embed(model, SENTENCES)
    ours = embed(fused(model), SENTENCES)
    assert ours.dtype == stock.dtype == torch.bfloat16
    torch.testing.assert_close(ours, stock, rtol=0.05, atol=0.05)


@pytest.mark.parametrize("activation", ["relu", "log1p_relu"])
def test_any_mask_is_pooled_as_in_stock(activation: str) -> None:
    """Padding on the left, on the right, inside, none, and only padding; a text whose logits are all negative."""
    torch.manual_seed(1)
    hidden = torch.randn(5, 40, 8, requires_grad=True)
    decoder = nn.Linear(8, 300)
    nn.init.constant_(decoder.bias, -1.0)
    mask = torch.ones(5, 40, dtype=torch.long)
    mask[0, 33:], mask[1, :20], mask[2, 3:30:3], mask[3] = 0, 0, 0, 0
    with torch.no_grad():
        hidden[4] *= 1e-3
    pooling = SpladePooling("max", activation_function=activation).train()
    stock = pooling({"token_embeddings": decoder(hidden), "attention_mask": mask})["sentence_embedding"]
    ours = fused_pooling(pooling, decoder)({"token_embeddings": hidden, "attention_mask": mask})["sentence_embedding"]
    torch.testing.assert_close(ours, stock, rtol=1e-5, atol=1e-5)
    assert (ours[3:] == 0).all() and (ours[:3] > 0).any(1).all()
    assert_same_gradients(ours, stock, (hidden, decoder.weight, decoder.bias))


@pytest.mark.parametrize("seed", range(12))
def test_values_and_gradients_equal_stock_for_random_shapes_masks_biases_and_dtypes(seed: int) -> None:
    torch.manual_seed(seed)
    batch, length, hidden, vocabulary = (int(torch.randint(1, most, ())) for most in (6, 90, 20, 900))
    dtype = (torch.float32, torch.float64)[seed % 2]
    states = torch.randn(batch, length, hidden, dtype=dtype, requires_grad=True)
    decoder = nn.Linear(hidden, vocabulary, bias=seed % 3 != 0, dtype=dtype)
    if decoder.bias is not None:
        nn.init.normal_(decoder.bias, mean=-1.0)
    mask = (torch.rand(batch, length) < torch.rand(batch, 1)).long()  # full, sparse and empty rows
    pooling = SpladePooling("max", activation_function=("relu", "log1p_relu")[seed % 4 // 2]).train()
    stock = pooling({"token_embeddings": decoder(states), "attention_mask": mask})["sentence_embedding"]
    ours = fused_pooling(pooling, decoder)({"token_embeddings": states, "attention_mask": mask})["sentence_embedding"]
    torch.testing.assert_close(ours, stock, rtol=1e-5, atol=1e-5)
    assert_same_gradients(ours, stock, (states, *decoder.parameters()))


def assert_same_gradients(ours: Tensor, stock: Tensor, inputs: tuple[Tensor, ...]) -> None:
    weights = torch.randn_like(stock)
    for mine, theirs in zip(*(torch.autograd.grad((e * weights).sum(), inputs) for e in (ours, stock)), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-5)


def test_torch_compile_skips_the_head_and_changes_no_value(folders: dict[str, Path]) -> None:
    model = fused(splade(folders["bert"]).eval())
    expected = embed(model, SENTENCES)
    graphs = 0

    def count(graph: torch.fx.GraphModule, inputs: list[Tensor]) -> Any:
        nonlocal graphs
        graphs += 1
        return graph.forward

    compiled = torch.compile(model, backend=count)
    for texts in (SENTENCES[:2], SENTENCES[2:5]):
        with torch.no_grad():
            compiled(model.preprocess(texts))
    several = graphs
    with torch.no_grad():
        found = compiled(model.preprocess(SENTENCES))["sentence_embedding"]
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    assert several > 0 and graphs - several <= 1  # a new length is not recompiled, except once for dynamic shapes


def test_flash_attentions_unpadded_layout_is_pooled_as_in_stock() -> None:
    torch.manual_seed(2)
    hidden, decoder, pooling = torch.randn(1, 50, 8), nn.Linear(8, 90), SpladePooling("max").eval()
    bounds = {"cu_seq_lens_q": torch.tensor([0, 3, 40, 50], dtype=torch.int32)}
    stock = pooling({"token_embeddings": decoder(hidden), **bounds})["sentence_embedding"]
    ours = fused_pooling(pooling, decoder)({"token_embeddings": hidden, **bounds})["sentence_embedding"]
    torch.testing.assert_close(ours, stock, rtol=1e-5, atol=1e-5)


def fused_pooling(pooling: SpladePooling, decoder: nn.Linear) -> Any:
    fast, head = FastPooling("max", activation_function=pooling.activation_function), Head(decoder)
    return lambda features: fast(features | {"head": head})


def test_a_fast_model_saves_the_files_of_a_stock_one(folders: dict[str, Path], tmp_path: Path) -> None:
    model = splade(folders["bert"])
    embed(model, SENTENCES[:1])
    model.save_pretrained(str(tmp_path / "stock"), create_model_card=False)
    keys = list(model.state_dict())
    embeddings = embed(fused(model), SENTENCES)
    assert list(model.state_dict()) == keys
    model.save_pretrained(str(tmp_path / "fast"), create_model_card=False)
    files = sorted(str(path.relative_to(tmp_path / "stock")) for path in (tmp_path / "stock").rglob("*") if path.is_file())
    assert "model.safetensors" in files and "modules.json" in files
    assert files == sorted(str(p.relative_to(tmp_path / "fast")) for p in (tmp_path / "fast").rglob("*") if p.is_file())
    assert filecmp.cmpfiles(tmp_path / "stock", tmp_path / "fast", files, shallow=False)[1:] == ([], [])
    reloaded = embed(SparseEncoder(str(tmp_path / "fast"), device="cpu"), SENTENCES)
    torch.testing.assert_close(reloaded, embeddings, rtol=1e-5, atol=1e-5)


def test_a_stock_copy_shares_the_weights_and_has_stock_classes_and_the_model_stays_fast(folders: dict[str, Path]) -> None:
    model = fused(fused(splade(folders["bert"]).train()))
    assert model.training and all(module.training for module in model.modules())
    assert model[1].embedding_dimension is None
    plain, expected = stock(model), embed(model, SENTENCES)
    assert [type(module) for module in (plain, *plain)] == [SparseEncoder, Transformer, SpladePooling]
    assert [type(module) for module in (model, *model)] == [FastEncoder, FastTransformer, FastPooling]
    assert all(ours is own for ours, own in zip(plain.parameters(), model.parameters(), strict=True))
    assert plain[0](plain.preprocess(["a"]))["token_embeddings"].shape[-1] == model[0].model.config.vocab_size
    torch.testing.assert_close(embed(plain, SENTENCES), expected, rtol=1e-5, atol=1e-5)


def test_make_fast_keeps_module_modes_and_the_random_state(folders: dict[str, Path]) -> None:
    model = splade(folders["bert"]).train()
    model[0].model.bert.encoder.layer[0].eval()
    modes = [module.training for module in model.modules()]
    state = torch.get_rng_state()
    fused(model)
    assert [module.training for module in model.modules()] == modes
    assert torch.equal(torch.get_rng_state(), state)


def test_a_deep_copy_of_a_fast_model_uses_its_own_weights(folders: dict[str, Path]) -> None:
    model = fused(splade(folders["bert"]))
    expected = embed(model, SENTENCES)
    twin = copy.deepcopy(model)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    assert torch.equal(embed(twin, SENTENCES), expected)


def test_distributed_data_parallel_finds_every_parameter_used(folders: dict[str, Path], tmp_path: Path) -> None:
    model = without_dropout(splade(folders["bert"]))
    stock = step(model, [QUERIES, POSITIVES])
    fused(model)
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    try:
        wrapped = nn.parallel.DistributedDataParallel(model)
        loss = SpladeLoss(wrapped, SparseMultipleNegativesRankingLoss(wrapped), 1e-2, 1e-2)
        model.zero_grad()
        sum(loss([model.preprocess(QUERIES), model.preprocess(POSITIVES)], None).values()).backward()
    finally:
        torch.distributed.destroy_process_group()
    assert_same_step((stock[0], {name: p.grad for name, p in model.named_parameters()}), stock, 1e-5)


def test_sum_pooling_stays_stock_and_says_why(folders: dict[str, Path]) -> None:
    model = splade(folders["bert"], strategy="sum")
    expected = embed(model, SENTENCES)
    [note] = make_fast(model)
    assert note.startswith("1: stock SPLADE head") and "'sum'" in note
    assert torch.equal(embed(model, SENTENCES), expected)


class ScaledBert(BertForMaskedLM):
    """Changes the logits after the last linear map."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        output = super().forward(*args, **kwargs)
        output.logits = output.logits * 2 + 0.1
        return output


class CutBert(BertForMaskedLM):
    """Expects logits of the vocabulary's size."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        output = super().forward(*args, **kwargs)
        output.logits = output.logits - torch.arange(self.config.vocab_size)
        return output


@pytest.mark.parametrize("model_class, reason", [(ScaledBert, "logits differ"), (CutBert, "the probe failed")])
def test_a_head_that_is_not_only_a_linear_map_stays_stock(
    model_class: type[BertForMaskedLM], reason: str, folders: dict[str, Path]
) -> None:
    model = splade(folders["bert"]).train()
    model[0].model.__class__ = model_class
    stock = embed(model, SENTENCES)
    [note] = make_fast(model.train())
    assert note.startswith("1: stock SPLADE head") and reason in note
    assert torch.equal(embed(model, SENTENCES), stock)


@pytest.mark.parametrize("everywhere, own", [("none", "none"), ("none", "tf32"), ("tf32", "none"), ("tf32", "ieee")])
def test_the_probe_runs_in_full_float32_and_restores_the_precision(everywhere: str, own: str, folders: dict[str, Path]) -> None:
    backends, matmul, seen = torch.backends, torch.backends.cuda.matmul, []

    def maxima(*arguments: Any) -> Tensor:
        seen.append(matmul.fp32_precision)
        return in_blocks(*arguments)

    model = splade(folders["bert"])
    backends.fp32_precision, matmul.fp32_precision = everywhere, own
    try:
        before = matmul.fp32_precision
        assert not make_fast(model, maxima)
        assert seen == ["ieee"] and matmul.fp32_precision == before
        backends.fp32_precision = "ieee"  # as a trainer does after the probe
        assert matmul.fp32_precision == ("ieee" if own == "none" else own)
    finally:
        backends.fp32_precision = matmul.fp32_precision = "none"


class ShiftedBert(BertForMaskedLM):
    """Like NorBERT: a row is predicted from the one before it, the first is all zero, and some terms are never predicted."""

    head_skips = 1

    def head_parameters(self) -> tuple[Tensor, Tensor]:
        decoder = self.cls.predictions.decoder
        bias = decoder.bias.clone()
        bias[:7] = float("-inf")
        return decoder.weight, bias

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        logits = self.cls(self.bert(kwargs["input_ids"], kwargs["attention_mask"])[0] * 1.5)
        logits = nn.functional.pad(logits[..., 7:], (7, 0))
        return {"logits": nn.functional.pad(logits[:, :-1], (0, 0, 1, 0))}


def test_a_model_that_provides_its_head_trains_as_stock(folders: dict[str, Path]) -> None:
    model = without_dropout(splade(folders["bert"]))
    model[0].model.__class__ = ShiftedBert
    stock = embed(model, SENTENCES), step(model.train(), [QUERIES, POSITIVES])
    fused(model)
    torch.testing.assert_close(embed(model, SENTENCES), stock[0], rtol=1e-5, atol=1e-5)
    assert (stock[0][:, :7] == 0).all() and (stock[0] > 0).any()
    assert_same_step(step(model.train(), [QUERIES, POSITIVES]), stock[1], 1e-5)
