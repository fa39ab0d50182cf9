"""Texts whose tokens are all kept are split as before, with each kind of tokenizer; no text turns into unknown tokens."""

import json
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from stages.make_base.pieces import Untrimmable, kept_tokens, without
from tests.conftest import SENTENCES

SPECIAL = ["<s>", "<pad>", "</s>", "<unk>"]
TRAINED_ON, COVERED = [*SENTENCES, "Ferjeleiet på Bodøya", "båtene, bryggene og svømmehallene"], SENTENCES[:4]
OTHER = ["Bryggen på øya stenger ukentlig 17 ganger.", "søppel"]


def wordpiece() -> Tokenizer:
    tokenizer = Tokenizer(models.WordPiece(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.train_from_iterator(TRAINED_ON, trainers.WordPieceTrainer(vocab_size=250, special_tokens=SPECIAL, show_progress=False))
    content, letters = json.loads(tokenizer.to_str()), {letter for text in TRAINED_ON + OTHER for letter in text}
    for letter in sorted(letters | {f"##{letter}" for letter in letters}):
        content["model"]["vocab"].setdefault(letter, len(content["model"]["vocab"]))
    return Tokenizer.from_str(json.dumps(content))


def unigram() -> Tokenizer:
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizers.NFKC(), pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(vocab_size=200, special_tokens=SPECIAL, unk_token="<unk>", show_progress=False)
    tokenizer.train_from_iterator(TRAINED_ON, trainer)
    tokenizer.add_special_tokens(["<mask>"])  # has the last id, as in XLM-R
    return tokenizer


def byte_level_bpe() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=450, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(TRAINED_ON, trainer)
    return tokenizer


def converted_bpe() -> Tokenizer:
    """As Gemma's: bytes for unknown letters, no pre-tokenizer, and as merges all pairs of tokens that make one, the frequent ones first."""
    learned = Tokenizer(models.BPE())
    learned.normalizer = normalizers.Replace(" ", "▁")
    learned.train_from_iterator(TRAINED_ON, trainers.BpeTrainer(vocab_size=250, show_progress=False))
    pieces = sorted(learned.get_vocab(), key=lambda piece: learned.token_to_id(piece))
    vocabulary = {piece: row for row, piece in enumerate([*SPECIAL, *(f"<0x{byte:02X}>" for byte in range(256)), *pieces])}
    splits = [(piece[:end], piece[end:]) for piece in pieces for end in range(1, len(piece))]
    merges = [(one, two) for one, two in splits if one in vocabulary and two in vocabulary]
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges, unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.add_special_tokens(SPECIAL)
    return tokenizer


KINDS: dict[str, Any] = {"WordPiece": wordpiece, "Unigram": unigram, "byte-level BPE": byte_level_bpe, "converted BPE": converted_bpe}


def trimmed(tokenizer: Tokenizer, texts: list[str], smallest_count: int = 1) -> Tokenizer:
    content = json.loads(tokenizer.to_str())
    counts = np.bincount([row for text in texts for row in tokenizer.encode(text).ids])
    return Tokenizer.from_str(json.dumps(without(content, kept_tokens(content, np.flatnonzero(counts >= smallest_count).tolist()))))


@pytest.mark.parametrize("kind", KINDS)
def test_covered_texts_are_split_as_before_into_the_new_ids(kind: str) -> None:
    before = KINDS[kind]()
    after = trimmed(before, COVERED)
    assert after.get_vocab_size() < before.get_vocab_size()
    assert sorted(after.get_vocab().values()) == list(range(after.get_vocab_size()))
    for text in COVERED:
        assert after.encode(text).tokens == before.encode(text).tokens
        assert after.encode(text).ids == [after.token_to_id(token) for token in before.encode(text).tokens]


@pytest.mark.parametrize("kind", KINDS)
def test_other_texts_are_split_into_more_tokens_none_of_them_unknown(kind: str) -> None:
    before = KINDS[kind]()
    once, often = (trimmed(before, COVERED, smallest_count) for smallest_count in (1, 1_000))
    lengths = [sum(len(tokenizer.encode(text)) for text in OTHER) for tokenizer in (before, once, often)]
    assert lengths[0] < lengths[1] < lengths[2]
    assert all("<unk>" not in tokenizer.encode(text).tokens for tokenizer in (before, once, often) for text in OTHER)
    assert [often.token_to_id(token) for token in SPECIAL] == [0, 1, 2, 3]


def test_unknown_letters_of_a_unigram_cost_as_much_as_before() -> None:
    """The penalty of an unknown letter is taken from the least probable piece of the vocabulary."""
    pieces = [("<unk>", 0.0), ("b", -1.0), ("c", -5.0), ("ab", -4.0), ("bc", -1.5), ("rare", -30.0)]
    before = Tokenizer(models.Unigram(pieces, unk_id=0))
    assert before.encode("abc").tokens == ["ab", "c"]  # −9; unknown + bc is −41.5, and would be −16.5 without the rare piece
    after = trimmed(before, ["abc", "bc"])
    assert "rare" in after.get_vocab() and after.encode("abc").tokens == ["ab", "c"]


def test_special_tokens_that_are_put_around_a_text_get_their_new_ids() -> None:
    for processor in (
        {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
         {"SpecialToken": {"id": "<mask>", "type_id": 0}}], "pair": [],
         "special_tokens": {name: {"id": name, "ids": [row], "tokens": [name]} for name, row in (("<s>", 0), ("<mask>", -1))}},
        {"type": "BertProcessing", "sep": ["<mask>", -1], "cls": ["<s>", 0]},
        {"type": "Sequence", "processors": [{"type": "RobertaProcessing", "sep": ["<mask>", -1], "cls": ["<s>", 0],
                                             "trim_offsets": True, "add_prefix_space": False}]},
    ):  # fmt: skip
        before = unigram()
        text = json.dumps(processor).replace("-1", str(before.token_to_id("<mask>")))
        before = Tokenizer.from_str(json.dumps(json.loads(before.to_str()) | {"post_processor": json.loads(text)}))
        after = trimmed(before, COVERED)
        encoding = after.encode(COVERED[0])
        assert encoding.ids[0] == 0 and encoding.ids[-1] == after.token_to_id("<mask>") == after.get_vocab_size() - 1


@pytest.mark.parametrize(("model", "named"), [(models.WordLevel({"a": 0}), "WordLevel"), (models.BPE(end_of_word_suffix="</w>"), "suffix")])
def test_other_tokenizers_are_refused(model: Any, named: str) -> None:
    with pytest.raises(Untrimmable, match=named):
        kept_tokens(json.loads(Tokenizer(model).to_str()), [])
