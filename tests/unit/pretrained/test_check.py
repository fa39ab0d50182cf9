"""A missing or wrong tokenizer and a head missing from the weights are one-line errors when a model is downloaded or copied."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoModel, AutoModelForSequenceClassification, AutoTokenizer, PreTrainedTokenizerFast

from stages.pretrained.check import check_model, check_small_files
from stages.pretrained.files import Use
from tests.refused import refused
from tests.tiny_models import PIECES, write_base
from tests.unit.pretrained.test_files import sentence_transformer

USE = Use("models.x", "some/model", "fill-mask")
TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt")


def remove_tokenizer(folder: Path) -> None:
    for name in TOKENIZER:
        (folder / name).unlink(missing_ok=True)


def only_the_settings_of_a_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()


def tokenizer_of_another_alphabet(folder: Path) -> None:
    path = folder / "tokenizer.json"
    values = json.loads(path.read_text())
    values["model"]["vocab"] = {chr(0x4E00 + row) if row > 4 else piece: row for row, piece in enumerate(PIECES)}
    path.write_text(json.dumps(values), encoding="utf-8")


def broken_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").write_text('{"version": "1.0"', encoding="utf-8")


def larger_tokenizer(folder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens([f"<more_{number}>" for number in range(3)])
    tokenizer.save_pretrained(folder)


def marks_of_another_model(folder: Path) -> None:
    path = folder / "tokenizer.json"
    values = json.loads(path.read_text())
    values["post_processor"] = {"type": "BertProcessing", "sep": ["[SEP]", 50_000], "cls": ["[CLS]", 50_001]}
    path.write_text(json.dumps(values), encoding="utf-8")


def no_padding(folder: Path) -> None:
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"), unk_token="[UNK]")
    remove_tokenizer(folder)
    tokenizer.save_pretrained(folder)


FAULTS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "none": (remove_tokenizer, "has a tokenizer"),
    "settings only": (only_the_settings_of_a_tokenizer, "has a tokenizer"),
    "another alphabet": (tokenizer_of_another_alphabet, "tokenizer … knows … %"),
    "broken": (broken_tokenizer, "tokenizer … loaded"),
    "larger": (larger_tokenizer, f"{len(PIECES)} embeddings … tokenizer … {len(PIECES) + 3} tokens"),
    "another's marks": (marks_of_another_model, f"{len(PIECES)} embeddings … tokenizer … 50,002 tokens"),
    "no padding": (no_padding, "tokenizer … padding token"),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("family", ["bert", "roberta", "modernbert"])
def test_a_tokenizer_that_is_missing_or_wrong_is_refused(family: str, fault: str, tmp_path: Path) -> None:
    damage, message = FAULTS[fault]
    damage(write_base(tmp_path, family))
    for task in ("fill-mask", "feature-extraction"):
        with refused("models.x", "some/model", message):
            check_model(tmp_path, replace(USE, task=task))


def test_a_tokenizer_is_checked_before_the_weights_exist(tmp_path: Path) -> None:
    (write_base(tmp_path, "bert") / "model.safetensors").unlink()
    check_small_files(tmp_path, USE)
    remove_tokenizer(tmp_path)
    with refused("models.x", "tokenizer", "0%"):
        check_small_files(tmp_path, USE)


@pytest.mark.parametrize("place", ["", "0_Transformer"])
def test_the_tokenizer_of_a_dense_model_is_checked_in_its_own_folder(place: str, tmp_path: Path) -> None:
    folder = sentence_transformer(tmp_path / "dense", place)
    check_model(folder, replace(USE, task="feature-extraction"))
    with refused("models.x", "no complete masked-LM head"):
        check_model(folder, USE) if place else check_model(write_base(tmp_path / "encoder", "bert", AutoModel), USE)
    remove_tokenizer(folder / place)
    with refused("models.x", "tokenizer", "0%"):
        check_model(folder, replace(USE, task="feature-extraction"))


def test_a_module_that_does_not_load_is_refused(tmp_path: Path) -> None:
    folder = sentence_transformer(tmp_path / "dense", "")
    (folder / "1_Pooling" / "config.json").unlink()
    with refused("models.x", "some/model", "1_Pooling that cannot be loaded"):
        check_model(folder, replace(USE, task="feature-extraction"))


def test_a_cross_encoder_needs_a_trained_head_with_one_score(tmp_path: Path) -> None:
    use = replace(USE, task="sequence-classification")
    check_model(write_base(tmp_path / "one", "bert", AutoModelForSequenceClassification, num_labels=1), use)
    with refused("models.x", "3 scores"):
        check_model(write_base(tmp_path / "three", "bert", AutoModelForSequenceClassification, num_labels=3), use)
    with refused("models.x", "classification head"):
        check_model(write_base(tmp_path / "none", "bert"), use)
