"""A model with incomplete files, or with fewer positions than texts may have tokens, is refused before anything is trained."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer
from transformers import AutoConfig, AutoModelForMaskedLM

from stages.make_base.dense import make_dense
from stages.pretrained.check import check_model
from stages.pretrained.files import Use, is_sparse, positions, require_positions, use_as
from tests import tiny_models
from tests.conftest import SENTENCES
from tests.fakes.lookalikes.folders import write_folder
from tests.refused import refused
from tests.tiny_models import FAMILIES, MARKS, PIECES, SMALL, write_base

USE = Use("models.x", "some/model", "fill-mask")
DENSE = replace(USE, task="feature-extraction")
TABLES: dict[str, tuple[dict[str, Any], int | None]] = {
    "bert": (SMALL, 64),
    "electra": (SMALL, 64),
    "distilbert": (FAMILIES["distilbert"], 64),
    "albert": (SMALL | {"embedding_size": 16}, 64),
    "roberta": (SMALL | MARKS | {"pad_token_id": 1}, 62),
    "xlm-roberta": (SMALL | MARKS | {"pad_token_id": 1}, 62),
    "camembert": (SMALL | MARKS | {"pad_token_id": 1}, 62),
    "mpnet": (SMALL | MARKS | {"pad_token_id": 1}, 62),
    "modernbert": (SMALL | MARKS, None),
    "deberta-v2": (SMALL | {"relative_attention": True, "pos_att_type": ["p2c", "c2p"], "position_biased_input": False}, None),
}


@pytest.mark.parametrize("family", TABLES)
def test_positions_is_the_longest_text_that_the_model_accepts(family: str, tmp_path: Path) -> None:
    settings, limit = TABLES[family]
    config = AutoConfig.for_model(family, vocab_size=len(PIECES), max_position_embeddings=64, **settings)
    model = AutoModelForMaskedLM.from_config(config).eval()
    model.save_pretrained(tmp_path)
    assert positions(tmp_path, USE) == limit

    def run(length: int) -> None:
        with torch.no_grad():
            model(input_ids=torch.full((1, length), 7), attention_mask=torch.ones(1, length, dtype=torch.long))

    run(limit or 100)
    require_positions(tmp_path, replace(USE, max_seq_length=limit or 100))
    if limit:
        with pytest.raises((IndexError, RuntimeError)):
            run(limit + 1)
        with refused("model.max_seq_length", f"at most {limit}", "some/model", "models.x", str(limit + 1)):
            require_positions(tmp_path, replace(USE, max_seq_length=limit + 1))


def test_norberts_positions(tmp_path: Path) -> None:
    for family, limit in (("norbert3", None), ("norbert4", 128)):
        write_folder(tmp_path / family, family)
        assert positions(tmp_path / family, USE) == limit


def test_a_miner_that_would_read_more_tokens_than_it_has_positions_is_refused(tmp_path: Path) -> None:
    base = write_base(tmp_path, "roberta")
    config = json.loads((base / "tokenizer_config.json").read_text())
    (base / "tokenizer_config.json").write_text(json.dumps(config | {"model_max_length": 512}), encoding="utf-8")
    with refused("models.x", "some/model", "64 tokens", "63 positions"):
        require_positions(base, DENSE)


def pointer(path: Path) -> None:
    path.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 1234567\n")


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def sharded(folder: Path) -> None:
    """Spread the weights over two files with an index."""
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names, weight_map = sorted(weights), {}
    for number, part in enumerate((names[::2], names[1::2]), start=1):
        file = f"model-{number:05}-of-00002.safetensors"
        save_file({name: weights[name] for name in part}, folder / file, metadata={"format": "pt"})
        weight_map |= dict.fromkeys(part, file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}), encoding="utf-8")


def shard_missing(folder: Path) -> None:
    sharded(folder)
    (folder / "model-00002-of-00002.safetensors").unlink()


def shard_truncated(folder: Path) -> None:
    sharded(folder)
    truncated(folder / "model-00002-of-00002.safetensors")


def shard_of_another(folder: Path) -> None:
    sharded(folder)
    save_file({"other": torch.zeros(2)}, folder / "model-00002-of-00002.safetensors")


def pickled(folder: Path) -> None:
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def without_a_layer(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    save_file({name: weight for name, weight in weights.items() if "layer.1." not in name}, folder / "model.safetensors")


def overwritten(name: str, content: str) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        (folder / name).write_text(content, encoding="utf-8")

    return damage


def settings(name: str, **values: Any) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        path = folder / name
        path.write_text(json.dumps((json.loads(path.read_text()) if path.is_file() else {}) | values), encoding="utf-8")

    return damage


def with_weights_of(kind: torch.dtype) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        path = folder / "model.safetensors"
        save_file({name: weight.to(kind) for name, weight in load_file(path).items()}, path, metadata={"format": "pt"})

    return damage


def index_of_another_form(folder: Path) -> None:
    sharded(folder)
    settings("model.safetensors.index.json", weight_map=["model-00001-of-00002.safetensors"])(folder)


FAULTS: dict[str, tuple[Callable[[Path], None], str]] = {
    "lfs weights": (lambda folder: pointer(folder / "model.safetensors"), "Git LFS pointer … model.safetensors … `git"),
    "lfs tokenizer": (lambda folder: pointer(folder / "tokenizer.json"), "Git LFS pointer … tokenizer.json"),
    "lfs config": (lambda folder: pointer(folder / "config.json"), "Git LFS pointer … config.json"),
    "truncated": (lambda folder: truncated(folder / "model.safetensors"), "truncated or damaged … model.safetensors"),
    "empty": (overwritten("model.safetensors", ""), "truncated or damaged … model.safetensors … 0 bytes"),
    "no weights": (lambda folder: (folder / "model.safetensors").unlink(), "no model.safetensors … pickled"),
    "pickled": (pickled, "no model.safetensors … pickled"),
    "shard missing": (shard_missing, "lacks … model-00002-of-00002.safetensors … model.safetensors.index.json"),
    "shard truncated": (shard_truncated, "truncated or damaged … model-00002-of-00002.safetensors"),
    "another's shard": (shard_of_another, "lacks … model-00002-of-00002.safetensors"),
    "a layer missing": (without_a_layer, "layer.1. … more weights"),
    "no config": (lambda folder: (folder / "config.json").unlink(), "no … config.json"),
    "broken config": (overwritten("config.json", '{"model_type": '), "config.json … valid JSON"),
    "list as config": (overwritten("config.json", "[]"), "config.json … is []"),
    "text as architectures": (settings("config.json", architectures="BertForMaskedLM"), "config.json … architectures … 'Bert"),
    "text as code": (settings("config.json", auto_map="x.Model"), "config.json … auto_map … 'x.Model'"),
    "text as a number": (settings("config.json", max_position_embeddings="64"), "config.json … max_position_embeddings … '64'"),
    "text as length": (settings("tokenizer_config.json", model_max_length="64"), "model_max_length … '64'"),
    "broken settings": (overwritten("sentence_bert_config.json", "{"), "sentence_bert_config.json … valid JSON"),
    "list as an index": (index_of_another_form, "index.json … weight_map … ["),
    "whole numbers": (with_weights_of(torch.int8), "type I8 … model.safetensors"),
    "eight bits": (with_weights_of(torch.float8_e4m3fn), "type F8_E4M3"),
    "an adapter": (settings("adapter_config.json", peft_type="LORA"), "sentence-transformers … ImportError … PEFT"),
    "a broken processor": (overwritten("preprocessor_config.json", "{"), "sentence-transformers … load"),
}
LAYOUTS: dict[str, Callable[[Path], tuple[Path, Path, Use]]] = {
    "plain": lambda folder: (folder, write_base(folder, "bert"), USE),
    "plain for csr": lambda folder: (folder, write_base(folder, "bert"), DENSE),
    "dense, in its root": lambda folder: (sentence_transformer(folder, ""), folder, DENSE),
    "dense, in a sub-folder": lambda folder: (sentence_transformer(folder, "0_Transformer"), folder / "0_Transformer", DENSE),
}


def sentence_transformer(folder: Path, place: str) -> Path:
    """A dense sentence-transformers model whose transformer is in the sub-folder ``place``."""
    model = SentenceTransformer(str(write_base(folder.with_name(f"{folder.name}-base"), "bert")), device="cpu")
    model.save_pretrained(str(folder), create_model_card=False)
    if place:
        (folder / place).mkdir()
        for path in [path for path in folder.iterdir() if path.is_file() and path.name not in ("modules.json", "README.md")]:
            path.rename(folder / place / path.name)
        modules = json.loads((folder / "modules.json").read_text())
        (folder / "modules.json").write_text(json.dumps([modules[0] | {"path": place}, *modules[1:]]), encoding="utf-8")
    return folder


@pytest.mark.parametrize("layout", LAYOUTS)
def test_incomplete_files_are_refused(layout: str, tmp_path: Path) -> None:
    for number, (damage, message) in enumerate(FAULTS.values()):
        folder, place, use = LAYOUTS[layout](tmp_path / str(number))
        check_model(folder, use)
        damage(place)
        with refused("models.x", "some/model", message):
            check_model(folder, use)


def test_weights_in_shards_are_complete(tmp_path: Path) -> None:
    sharded(write_base(tmp_path, "bert"))
    check_model(tmp_path, USE)


@pytest.mark.parametrize("architecture", ["splade", "inference-free-splade", "csr"])
def test_models_that_this_project_trains_pass(architecture: str, tmp_path: Path) -> None:
    folder = tiny_models.save(tmp_path / "model", architecture)
    check_model(folder, DENSE if architecture == "csr" else USE)


def test_a_truncated_static_model_is_refused(base: Path, tmp_path: Path) -> None:
    make_dense(base, SENTENCES, tmp_path, dimension=32, seed=1)
    check_model(tmp_path, DENSE)
    [weights] = tmp_path.rglob("model.safetensors")
    with safe_open(str(weights), framework="pt") as file:
        assert list(file.keys())
    truncated(weights)
    with refused("models.x", "truncated or damaged", "model.safetensors"):
        check_model(tmp_path, DENSE)


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("config_sentence_transformers.json", "{", "config_sentence_transformers.json … valid JSON"),
        ("config_sentence_transformers.json", '{"prompts": 5}', "prompts … 5"),
        ("sentence_bert_config.json", '{"no_such_setting": 1}', "sentence-transformers … load"),
        ("router_config.json", '{"types": []}', "types … []"),
        ("modules.json", '[{"type": null, "path": ""}]', "modules.json … type"),
        ("modules.json", '[{"type": "sentence_transformers.models.Transformer", "path": "/etc"}]', "outside the model's folder … /etc"),
        ("modules.json", '[{"type": "sentence_transformers.models.Transformer", "path": "../x"}]', "outside the model's folder … ../x"),
        ("modules.json", '[{"idx": 0, "name": "0", "type": "sentence_transformers.models.Transformer", "path": ""}]', "pooling"),
    ],
)
def test_settings_that_keep_a_dense_model_from_loading_are_refused(file: str, content: str, message: str, tmp_path: Path) -> None:
    folder = sentence_transformer(tmp_path / "dense", "")
    (folder / file).write_text(content, encoding="utf-8")
    with refused("models.x", "some/model", message):
        check_model(folder, DENSE)


@pytest.mark.parametrize("architecture", ["splade", "inference-free-splade", "csr"])
def test_a_model_of_ours_is_recognised_as_sparse_and_passes_as_a_miner(architecture: str, tmp_path: Path) -> None:
    folder = tiny_models.save(tmp_path / "model", architecture)
    assert is_sparse(folder)
    check_model(folder, use_as("miner", folder, USE, "csr"))
    with refused(USE.key, "not a dense model", "evaluation.dense"):
        use_as("dense", folder, USE, "csr")
