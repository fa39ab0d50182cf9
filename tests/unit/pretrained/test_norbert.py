"""NorBERT 3 and 4 load, train, save and load again: look-alikes with the traits that break them under transformers 5."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from datasets import Dataset
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer, SparseEncoder, SparseEncoderTrainer, SparseEncoderTrainingArguments
from sentence_transformers.base.modules import Transformer
from sentence_transformers.sentence_transformer.modules import Pooling
from torch import Tensor, nn
from transformers import AutoModel, AutoModelForMaskedLM

from stages.encoders.building import ENCODERS
from stages.encoders.fast.model import make_fast
from stages.pretrained.base_check import probe_head, require_sound, require_zeros
from stages.pretrained.check import check_model, require_weights
from stages.pretrained.files import Use
from stages.pretrained.norbert import EMBEDDINGS, lift_code, prepare_base
from stages.pretrained.own_code import require_allowed_code
from tests.conftest import SENTENCES
from tests.fakes.lookalikes.folders import HEAD, write_folder
from tests.refused import refused
from tests.sections import loss_section, model_section
from tests.tiny_models import without_dropout
from tests.watching import watched

FAMILIES = ("norbert4", "norbert3")
MODEL, LOSS = model_section(max_seq_length=64, trust_remote_code=True, hidden_dim=64), loss_section()
TRUST = {"trust_remote_code": True}
USE = Use("models.x", "ltg/norbert", "fill-mask", trusted=True)


pytestmark = pytest.mark.usefixtures("modules_cache")


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """With several threads tiny models spend most of their time on synchronisation."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def splade(base: Path, work: Path) -> SparseEncoder:
    return ENCODERS["splade"].build(prepare_base(base, work), MODEL, [])


def embed(model: SparseEncoder) -> Tensor:
    embeddings: Tensor = model.encode_document(SENTENCES, convert_to_sparse_tensor=False)
    return embeddings


def features(model: SparseEncoder) -> dict[str, Tensor]:
    found: dict[str, Tensor] = model.preprocess(SENTENCES)
    assert not found["attention_mask"].all(), "the tests need padding"
    return found


@torch.no_grad()
def expected(reference: nn.Module, family: str, model: SparseEncoder) -> Tensor:
    """SPLADE embeddings from the logits of the family's own code, unbounded again for NorBERT 4; shape (texts, vocabulary)."""
    batch = features(model)
    mask = batch["attention_mask"].clone()
    logits = reference(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
    if family == "norbert4":
        mask[:, 0] = 0
        logits = 7.5 * torch.log(logits.double() / (30 - logits.double()))
    pooled = logits.masked_fill(mask.unsqueeze(-1) == 0, float("-inf")).amax(1)
    return pooled.relu().log1p().float()


def one_step(model: SparseEncoder) -> dict[str, Tensor]:
    """Gradients of one SPLADE step without dropout."""
    loss = ENCODERS["splade"].make_loss(without_dropout(model), LOSS)
    terms = loss([model.preprocess(SENTENCES[:4]), model.preprocess(SENTENCES[4:])], None)
    assert all(torch.isfinite(term) for term in terms.values())
    model.zero_grad()
    sum(terms.values()).backward()
    gradients = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    unused = {"0.model.encoder.layers.0.attention.lambdas"}  # in norbert4's first layer
    assert gradients.keys() == {name for name, _ in model.named_parameters()} - unused
    assert all(torch.isfinite(gradient).all() for gradient in gradients.values())
    return gradients


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("family", FAMILIES)
def test_the_repaired_model_computes_what_its_own_code_does_and_has_zeros(family: str, tied: bool, tmp_path: Path) -> None:
    reference = write_folder(tmp_path / "base", family, tied=tied)
    model = splade(tmp_path / "base", tmp_path / "work")
    embeddings = embed(model)
    torch.testing.assert_close(embeddings, expected(reference, family, model), rtol=1e-4, atol=1e-4)
    assert 0.05 < (embeddings > 0).float().mean() < 0.9 and (embeddings == 0).any(1).all()
    if family == "norbert3":
        assert (embeddings[:, :107] == 0).all()
    assert type(model[0].model).__name__.endswith("ForMaskedLM")
    assert {p.dtype for p in model.parameters()} == {torch.float32}


@pytest.mark.parametrize("family", FAMILIES)
def test_the_model_as_published_does_not_load_here(family: str, tmp_path: Path) -> None:
    write_folder(tmp_path / "published", family)  # a name of its own: transformers caches the class of a configuration
    with pytest.raises(AttributeError):
        AutoModelForMaskedLM.from_pretrained(str(tmp_path / "published"), **TRUST)


@pytest.mark.parametrize("tied", [True, False])
def test_the_weights_in_the_file_decide_whether_the_head_is_tied(tied: bool, tmp_path: Path) -> None:
    write_folder(tmp_path / "base", "norbert4", tied=tied)
    assert json.loads((tmp_path / "base" / "config.json").read_text())["tie_word_embeddings"] is True
    model = splade(tmp_path / "base", tmp_path / "work")
    mlm = model[0].model
    assert (mlm.classifier.emb2vocab.weight is mlm.embedding.word_embedding.weight) is tied
    model.save_pretrained(str(tmp_path / "final"), create_model_card=False)
    again = SparseEncoder(str(tmp_path / "final"), **TRUST)[0].model
    assert (again.classifier.emb2vocab.weight is again.embedding.word_embedding.weight) is tied


@pytest.mark.parametrize("held", ["embeddings", "head", "both"])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_weight_shared_by_embeddings_and_head_may_have_either_name_in_the_file(family: str, held: str, tmp_path: Path) -> None:
    reference = write_folder(tmp_path / "base", family)
    file = tmp_path / "base" / "model.safetensors"
    weights = load_file(file)
    if held != "embeddings":
        weights[HEAD[family]] = weights[EMBEDDINGS].clone()
    if held == "head":  # as in the conversion of ltg/norbert3-base on refs/pr/5
        del weights[EMBEDDINGS]
    save_file(weights, file, metadata={"format": "pt"})
    base = prepare_base(tmp_path / "base", tmp_path / "work")
    require_weights(base, USE)
    model = ENCODERS["splade"].build(base, MODEL, [])
    require_sound(model, base)
    torch.testing.assert_close(embed(model), expected(reference, family, model), rtol=1e-4, atol=1e-4)
    tied = model[0].model.get_output_embeddings().weight is model[0].model.embedding.word_embedding.weight
    assert tied is (family == "norbert3" or held != "both")
    make_fast(model)
    one_step(model)
    torch.optim.SGD(model.parameters(), lr=0.05).step()
    model.save_pretrained(str(tmp_path / "final"), create_model_card=False)
    torch.testing.assert_close(embed(SparseEncoder(str(tmp_path / "final"), **TRUST)), embed(model.eval()), rtol=1e-5, atol=1e-6)


def test_bf16_weights_become_float32(tmp_path: Path) -> None:
    write_folder(tmp_path / "base", "norbert4", dtype=torch.bfloat16)
    model = splade(tmp_path / "base", tmp_path / "work")
    assert {p.dtype for p in model.parameters()} == {torch.float32}


@pytest.mark.parametrize("family", FAMILIES)
def test_a_missing_table_of_positions_is_computed_and_other_missing_weights_are_refused(family: str, tmp_path: Path) -> None:
    reference = write_folder(tmp_path / "base", family, without=["position_indices"])
    base = prepare_base(tmp_path / "base", tmp_path / "work")
    require_weights(base, USE)
    model = ENCODERS["splade"].build(base, MODEL, [])
    torch.testing.assert_close(embed(model), expected(reference, family, model), rtol=1e-4, atol=1e-4)
    require_sound(model, base)
    write_folder(tmp_path / "gap", family, without=["layers.1."])
    base = prepare_base(tmp_path / "gap", tmp_path / "other")
    with refused("models.x", "layers.1.", "more weights"):
        require_weights(base, USE)


@pytest.mark.parametrize("family", FAMILIES)
def test_training_after_encoding_reaches_every_parameter_and_activation_checkpointing_changes_nothing(family: str, tmp_path: Path) -> None:
    write_folder(tmp_path / "base", family)
    model = splade(tmp_path / "base", tmp_path / "work")
    embed(model)  # in inference mode: autograd must not use tensors that were created there
    plain = one_step(model)
    model[0].model.activation_checkpointing_enable(activation_checkpointing_kwargs={"use_reentrant": False})
    used: list[str] = []
    for name, module in model.named_modules():
        if getattr(module, "gradient_checkpointing", False) is True:
            used.append(name)
            function = module._gradient_checkpointing_func
            module._gradient_checkpointing_func = lambda *args, f=function, n=name, **kw: (used.append(n), f(*args, **kw))[1]
    layers = len(used)
    recomputed = one_step(model)
    assert layers == {"norbert4": 3, "norbert3": 2}[family] and len(used) == 3 * layers  # queries and documents
    for name, gradient in plain.items():
        torch.testing.assert_close(recomputed[name], gradient, rtol=1e-5, atol=1e-7, msg=name)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_fused_head_finds_the_last_linear_map(family: str, tmp_path: Path) -> None:
    write_folder(tmp_path / "base", family)
    model = splade(tmp_path / "base", tmp_path / "work")
    stock, gradients = embed(model), one_step(model)
    assert not make_fast(model)
    torch.testing.assert_close(embed(model), stock, rtol=1e-5, atol=1e-5)
    whole = max(gradient.norm() for gradient in gradients.values())
    for saving in (0, 2):
        make_fast(model, split_padding=saving)
        with watched(model) as seen:
            ours = one_step(model)
        assert len(seen) > 1 if saving else len(seen) == 2  # queries, documents
        for name, gradient in gradients.items():
            assert (ours[name] - gradient).norm() <= 1e-4 * gradient.norm() + 1e-6 * whole, name


@pytest.mark.parametrize("family", FAMILIES)
def test_a_run_with_activation_checkpointing_resumes_from_a_checkpoint(family: str, tmp_path: Path) -> None:
    write_folder(tmp_path / "base", family)

    def train(steps: int, resume: bool) -> SparseEncoder:
        torch.manual_seed(0)
        model = splade(tmp_path / "base", tmp_path / "work")
        make_fast(model)
        rows = Dataset.from_dict({"anchor": SENTENCES, "positive": SENTENCES[::-1]})
        arguments = SparseEncoderTrainingArguments(
            output_dir=str(tmp_path / f"checkpoints-{family}-{steps}"),
            max_steps=4,
            per_device_train_batch_size=2,
            learning_rate=1e-3,
            save_steps=2,
            use_cpu=True,
            report_to="none",
            activation_checkpointing=True,
            logging_steps=1,
            disable_tqdm=True,
        )
        loss = ENCODERS["splade"].make_loss(model, LOSS)
        trainer = SparseEncoderTrainer(model=model, args=arguments, train_dataset=rows, loss=loss)
        trainer.train(resume_from_checkpoint=str(tmp_path / f"checkpoints-{family}-4" / "checkpoint-2") if resume else None)
        assert all(np.isfinite(entry["loss"]) for entry in trainer.state.log_history if "loss" in entry)
        return model

    whole, resumed = train(4, resume=False), train(2, resume=True)
    for (name, ours), theirs in zip(whole.state_dict().items(), resumed.state_dict().values(), strict=True):
        assert torch.equal(ours, theirs), name


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Tensor]]:
    """Folders of models saved after one step with the fused head, and their embeddings before saving."""
    root = tmp_path_factory.mktemp("saved")
    cases = [("norbert4", True, "splade"), ("norbert4", False, "splade"), ("norbert3", True, "splade")]
    cases += [("norbert4", True, "inference-free-splade"), ("norbert3", True, "csr")]
    embeddings = {}
    for family, tied, architecture in cases:
        name = f"{architecture}-{family}-{tied}"
        write_folder(root / f"base-{name}", family, tied=tied)
        base = prepare_base(root / f"base-{name}", root / f"work-{name}")
        model = ENCODERS[architecture].build(base, MODEL, SENTENCES)
        make_fast(model)
        if architecture == "splade":
            one_step(model)
            torch.optim.SGD(model.parameters(), lr=0.05).step()
        embeddings[name] = embed(model)
        model.save_pretrained(str(root / name), create_model_card=False)
        lift_code(root / name)
    return root, embeddings


STOCK = """
import json, sys
sys.modules["stages"] = None  # the project is installed in this environment: importing it fails from here on
from pathlib import Path
import numpy as np
from sentence_transformers import SparseEncoder
root, names, texts = Path(sys.argv[1]), json.loads(sys.argv[2]), json.loads(sys.argv[3])
models = {name: SparseEncoder(str(root / name), trust_remote_code=True, device="cpu") for name in names}
np.savez(root / "stock.npz", **{n: m.encode_document(texts, convert_to_sparse_tensor=False).numpy() for n, m in models.items()})
"""


def test_a_saved_model_gives_the_same_embeddings_in_stock_without_this_project(saved: tuple[Path, dict[str, Tensor]]) -> None:
    root, embeddings = saved
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    fresh = subprocess.run(
        [sys.executable, "-I", "-c", STOCK, str(root), json.dumps(list(embeddings)), json.dumps(SENTENCES)],
        cwd=root,
        env=kept | {"HF_MODULES_CACHE": str(root / "fresh"), "HF_HUB_OFFLINE": "1"},
        check=False,
        timeout=300,
        capture_output=True,
        text=True,
    )
    assert fresh.returncode == 0, fresh.stderr
    stock = np.load(root / "stock.npz")
    for name, ours in embeddings.items():
        torch.testing.assert_close(torch.from_numpy(stock[name]), ours, rtol=1e-5, atol=1e-6, msg=name)
        assert np.array_equal(stock[name] == 0, (ours == 0).numpy()), name
        assert (ours == 0).any(), name


def test_a_saved_model_loads_as_splade_without_the_sentence_transformers_settings(saved: tuple[Path, dict[str, Tensor]]) -> None:
    root, embeddings = saved
    bare = root / "bare"
    bare.mkdir()
    for file in (root / "splade-norbert4-True").iterdir():
        if file.is_file() and file.name not in ("modules.json", "config_sentence_transformers.json", "sentence_bert_config.json"):
            (bare / file.name).write_bytes(file.read_bytes())
    model = SparseEncoder(str(bare), **TRUST)
    torch.testing.assert_close(embed(model), embeddings["splade-norbert4-True"], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("family", FAMILIES)
def test_csr_builds_on_a_plain_encoder_and_on_a_dense_model(family: str, tmp_path: Path) -> None:
    reference = write_folder(tmp_path / "base", family, masked_lm=False)
    plain = prepare_base(tmp_path / "base", tmp_path / "work")
    transformer = Transformer(str(plain), model_kwargs=dict(TRUST), config_kwargs=dict(TRUST), processor_kwargs=dict(TRUST))
    dense = SentenceTransformer(modules=[transformer, Pooling(24)])
    batch = dense.preprocess(SENTENCES)
    with torch.no_grad():
        hidden = reference(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).last_hidden_state
    mask = batch["attention_mask"].unsqueeze(-1)
    vectors = (hidden * mask).sum(1) / mask.sum(1)
    torch.testing.assert_close(torch.from_numpy(dense.encode(SENTENCES)), vectors, rtol=1e-4, atol=1e-5)

    # A published dense model: the family's own code in a sentence-transformers folder.
    dense.save_pretrained(str(tmp_path / "dense"), create_model_card=False)
    (tmp_path / "dense" / "config.json").write_bytes((tmp_path / "base" / "config.json").read_bytes())
    for base in (tmp_path / "dense", tmp_path / "base"):
        ready = prepare_base(base, tmp_path / f"work-{base.name}")
        model = ENCODERS["csr"].build(ready, MODEL, [])
        require_sound(model, ready)
        torch.testing.assert_close(model[1](model[0](dict(batch)))["sentence_embedding"], vectors, rtol=1e-4, atol=1e-5)
    with refused("models.x", "masked-LM head", "classifier"):
        require_weights(ready, USE)


@pytest.mark.parametrize("family", FAMILIES)
def test_no_code_of_the_folder_runs_before_it_is_allowed(family: str, tmp_path: Path) -> None:
    write_folder(tmp_path / "base", family)
    ran = tmp_path / "ran"
    for code in (tmp_path / "base").glob("*.py"):
        code.write_text(code.read_text() + f"\nopen({str(ran)!r}, 'w').close()\n", encoding="utf-8")
    ready = prepare_base(tmp_path / "base", tmp_path / "work")
    with refused("models.x", "ltg/norbert", "Python code", "trust_remote_code"):
        require_allowed_code(ready, replace(USE, trusted=False))
    with pytest.raises(ValueError, match="trust_remote_code"):
        AutoModel.from_pretrained(str(ready))
    assert not ran.exists()
    require_allowed_code(ready, USE)
    splade(tmp_path / "base", tmp_path / "again")
    assert ran.exists()


def test_the_base_is_not_changed_and_other_models_are_not_copied(tmp_path: Path, base: Path) -> None:
    write_folder(tmp_path / "base", "norbert4")
    before = {path.name: path.read_bytes() for path in (tmp_path / "base").iterdir()}
    ready = prepare_base(tmp_path / "base", tmp_path / "work")
    assert {path.name: path.read_bytes() for path in (tmp_path / "base").iterdir()} == before
    for name in ("modeling_gptbert.py", "configuration_gptbert.py", "model.safetensors"):
        assert (ready / name).read_bytes() == before[name]
    assert prepare_base(tmp_path / "base", tmp_path / "work") == ready  # an earlier, interrupted run left a copy
    assert prepare_base(ready, tmp_path / "more") == ready and not (tmp_path / "more").exists()
    assert prepare_base(base, tmp_path / "more") == base and not (tmp_path / "more").exists()


def test_a_revision_that_the_repair_does_not_fit_is_refused(tmp_path: Path) -> None:
    write_folder(tmp_path / "base", "norbert4")
    code = tmp_path / "base" / "modeling_gptbert.py"
    code.write_text(code.read_text().replace("RotaryPositionalEmbeddings", "Rotary"), encoding="utf-8")
    with refused("models.x", "ltg/norbert", "RotaryPositionalEmbeddings", "modeling_gptbert.py"):
        require_allowed_code(tmp_path / "base", USE)
    with refused(str(tmp_path / "base"), "has no RotaryPositionalEmbeddings", "modeling_gptbert.py"):
        prepare_base(tmp_path / "base", tmp_path / "work")


@pytest.mark.parametrize("family", FAMILIES)
def test_a_cross_encoder_is_refused(family: str, tmp_path: Path) -> None:
    write_folder(tmp_path / "base", family)
    with refused("models.x", "ltg/norbert", "NorBERT", "sequence-classification"):
        check_model(tmp_path / "base", replace(USE, task="sequence-classification"))


@pytest.mark.parametrize("task", ["fill-mask", "feature-extraction"])
@pytest.mark.parametrize("family", FAMILIES)
def test_references_to_another_repository_are_replaced_by_the_folders_own_code(family: str, task: str, tmp_path: Path) -> None:
    write_folder(tmp_path / "base", family)  # fine-tuning leaves references to the repository that the code came from
    change_auto_map(tmp_path / "base", lambda value: f"ltg/original--{value}")
    change_auto_map(tmp_path / "base", lambda value: value, AutoModelForTokenClassification="ltg/original--elsewhere.Model")
    check_model(tmp_path / "base", replace(USE, task=task))
    ready = prepare_base(tmp_path / "base", tmp_path / "work")
    require_allowed_code(ready, replace(USE, task=task))
    assert "--" not in (ready / "config.json").read_text()


@pytest.mark.parametrize("missing", ["configuration", "modeling"])
def test_code_that_only_another_repository_has_is_refused(missing: str, tmp_path: Path) -> None:
    write_folder(tmp_path / "base", "norbert4")
    change_auto_map(tmp_path / "base", lambda value: f"ltg/original--{value}")
    (tmp_path / "base" / f"{missing}_gptbert.py").unlink()
    with refused("models.x", f"{missing}_gptbert.", "another repository", "ltg/original"):
        require_allowed_code(tmp_path / "base", USE)


def change_auto_map(folder: Path, change: Callable[[str], str], **entries: str) -> None:
    path = folder / "config.json"
    config = json.loads(path.read_text())
    config["auto_map"] = {key: change(value) for key, value in config["auto_map"].items()} | entries
    path.write_text(json.dumps(config), encoding="utf-8")


def test_the_published_head_is_refused_and_the_repaired_one_passes(tmp_path: Path) -> None:
    reference = write_folder(tmp_path / "base", "norbert4")
    model = splade(tmp_path / "base", tmp_path / "work")
    require_sound(model, tmp_path / "work" / "base")
    positive_share, active_dims = probe_head(model[0])
    assert positive_share < 0.5 and 0 < active_dims < 200
    model[0].model = reference  # what its own code computes
    with refused("model.base_model", "positive logits", "100.0% of the vocabulary"):
        require_zeros(model[0], tmp_path / "base")


def test_a_head_without_positive_logits_and_one_that_gives_nan_are_refused(tmp_path: Path) -> None:
    write_folder(tmp_path / "base", "norbert4")
    model = splade(tmp_path / "base", tmp_path / "work")
    bias = model[0].model.classifier.emb2vocab.bias
    with torch.no_grad():
        bias -= 100
    with refused("model.base_model", "no positive logit"):
        require_sound(model, tmp_path / "work" / "base")
    with torch.no_grad():
        bias[7] = float("nan")
    with refused("model.base_model", "NaN or infinite"):
        require_sound(model, tmp_path / "work" / "base")
