"""A trimmed base is a stock model whose vectors are the whole base's without the tokens that are gone."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from sentence_transformers import SparseEncoder
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoModelForMaskedLM, AutoTokenizer, PreTrainedTokenizerFast

from stages.encoders.building import ENCODERS
from stages.make_base.trimming import prompted, trim_base
from stages.pretrained.check import PROBE, check_model
from stages.pretrained.files import Use
from tests.conftest import SENTENCES
from tests.refused import refused
from tests.sections import model_section
from tests.tiny_models import FAMILIES, write_base
from tests.unit.make_base.test_pieces import COVERED, OTHER, byte_level_bpe, unigram

USE = Use("model.base_model", "org/base", "fill-mask")
MARKS = {"bos_token": "<s>", "cls_token": "<s>", "eos_token": "</s>", "sep_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}


def multilingual(folder: Path, family: str, tokenizer: Tokenizer) -> Path:
    """A tiny base of a family with a tokenizer of its own, 7 embeddings more than that has tokens, and the mask last, as in XLM-R."""
    tokenizer.add_special_tokens(["<mask>"])
    ids = {"pad_token_id": 1, "bos_token_id": 0, "cls_token_id": 0, "eos_token_id": 2, "sep_token_id": 2}
    write_base(folder, family, vocab_size=tokenizer.get_vocab_size() + 7, **ids)
    for file in folder.glob("tokenizer*"):
        file.unlink()
    names = ["input_ids", "attention_mask"]
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, mask_token="<mask>", model_max_length=60, model_input_names=names, **MARKS)
    fast.save_pretrained(folder)
    return folder


def trim(base: Path, folder: Path, texts: list[str] = COVERED, smallest_count: int = 1) -> Path:
    folder.mkdir()
    trim_base(base, folder, USE, lambda: iter(texts), smallest_count)
    return folder


def vectors(base: Path, texts: list[str]) -> dict[str, torch.Tensor]:
    """Each token's weights in the texts."""
    model = ENCODERS["splade"].build(base, model_section(), [])
    embeddings = model.encode_document(texts, convert_to_sparse_tensor=False)
    return {token: embeddings[:, row] for token, row in model.tokenizer.get_vocab().items()}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("tokenizer", [unigram, byte_level_bpe])
def test_vectors_of_covered_texts_lose_nothing_but_the_tokens_that_are_gone(family: str, tokenizer: object, tmp_path: Path) -> None:
    base = multilingual(tmp_path / "base", family, tokenizer())
    small = trim(base, tmp_path / "small")
    check_model(small, USE)
    before, after = vectors(base, COVERED), vectors(small, COVERED)
    assert len(COVERED) < len(after) < len(before)
    for token, weights in after.items():
        torch.testing.assert_close(weights, before[token], msg=token)
    config, sizes = json.loads((small / "config.json").read_text()), json.loads((base / "config.json").read_text())
    assert config["vocab_size"] == len(after) and config["pad_token_id"] == 1
    assert config.keys() == sizes.keys()


def test_a_word_piece_base_is_trimmed_too(base: Path, tmp_path: Path) -> None:
    small = trim(base, tmp_path / "small", SENTENCES[:2])
    before, after = vectors(base, SENTENCES[:2]), vectors(small, SENTENCES[:2])
    assert len(after) < 0.8 * len(before)
    for token, weights in after.items():
        torch.testing.assert_close(weights, before[token], msg=token)


@pytest.mark.parametrize("architecture", ["splade", "inference-free-splade"])
def test_a_model_on_a_trimmed_base_is_saved_as_stock(architecture: str, tmp_path: Path) -> None:
    small = trim(multilingual(tmp_path / "base", "xlm-roberta", unigram()), tmp_path / "small")
    model = ENCODERS[architecture].build(small, model_section(), COVERED)
    model.save_pretrained(str(tmp_path / "saved"), create_model_card=False)
    stock = SparseEncoder(str(tmp_path / "saved"))
    for encode in ("encode_query", "encode_document"):
        ours, theirs = (getattr(each, encode)(COVERED + OTHER, convert_to_sparse_tensor=False) for each in (model, stock))
        assert torch.equal(ours, theirs) and (ours > 0).any()
    assert len(stock.tokenizer) == ours.shape[1]


def test_rare_tokens_go_and_equal_texts_count_once(tmp_path: Path) -> None:
    base = multilingual(tmp_path / "base", "bert", unigram())
    texts = [*COVERED, *COVERED, COVERED[0].upper()]
    sizes = {n: len(AutoTokenizer.from_pretrained(trim(base, tmp_path / f"small{n}", texts, n))) for n in (1, 2, 50)}
    assert sizes[1] > sizes[2] > sizes[50]
    twice = trim(base, tmp_path / "repeated", [COVERED[0], COVERED[0]], 2)
    once = trim(base, tmp_path / "single", [COVERED[0]], 2)
    assert (twice / "tokenizer.json").read_bytes() == (once / "tokenizer.json").read_bytes()


def test_the_same_texts_give_the_same_bytes(tmp_path: Path) -> None:
    base = multilingual(tmp_path / "base", "xlm-roberta", byte_level_bpe())
    one, two = (trim(base, tmp_path / name) for name in ("one", "two"))
    names = {path.name for path in one.iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"} == names
    assert all((one / name).read_bytes() == (two / name).read_bytes() for name in names)


def test_a_base_in_several_files_becomes_one(tmp_path: Path) -> None:
    base = multilingual(tmp_path / "base", "roberta", unigram())
    model = AutoModelForMaskedLM.from_pretrained(base)
    (base / "model.safetensors").unlink()
    model.save_pretrained(base, max_shard_size="10KB")
    assert len(list(base.glob("*.safetensors"))) > 1
    small = trim(base, tmp_path / "small")
    check_model(small, USE)
    torch.testing.assert_close(vectors(small, COVERED)["<unk>"], vectors(base, COVERED)["<unk>"])


def test_texts_are_counted_after_their_prompts(tmp_path: Path) -> None:
    table = pa.table({"anchor": ["hei", "på"], "positive": ["deg", "ø"], "negative": ["nei", None], "negative_2": [None, "x"]})
    pq.write_table(table, tmp_path / "train.parquet")
    assert list(prompted(tmp_path / "train.parquet", {"query": "q: "})) == ["q: hei", "q: på", "deg", "ø", "nei", "x"]


def test_a_tokenizer_that_cannot_be_trimmed_is_refused(tmp_path: Path) -> None:
    words = dict.fromkeys(["<s>", "<pad>", "</s>", "<unk>", *" ".join(PROBE).split()])
    tokenizer = Tokenizer(models.WordLevel({word: row for row, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    base = multilingual(tmp_path / "base", "bert", tokenizer)
    with refused("model.base_model", "org/base", "WordLevel", "model.trim_vocabulary to null"):
        trim(base, tmp_path / "small")
