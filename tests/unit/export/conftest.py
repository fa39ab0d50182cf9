"""Inference-free models on the kinds of tokenizers, and thousands of texts to compare their exports with."""

import random
from collections.abc import Callable, Iterable
from functools import cache

import pytest
import torch
from sentence_transformers import SparseEncoder
from sentence_transformers.base.modules import Router
from sentence_transformers.sparse_encoder.modules import SparseStaticEmbedding
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from stages.make_base.lexical import SPECIAL, train_tokenizer
from stages.sample.evaluation import make_split
from stages.sample.lexicon import LANGUAGES, load

LENGTH = 48
ODD = ["", " ", "\t\n", "x" * 100, "x" * 101, "Å" * 300, "blåbærsyltetøy" * 9, "hei " * 200, "nul\0l \x1c\x85 \x7f\ufffd"]
ODD += ["a\u200bb\u00adc\ufeffd", "a\u030a A\u030a e\u0301 o\u0308 \u0301x", "e\u0315\u0300\u05ae b\u0327\u0323", "\u2028\u3000\u00a0."]
ODD += ["[MASK]", "før[CLS]etter [SEP]", "[mask] [UNK][UNK]", "İstanbul ΟΔΟΣ ǅ ẞ ﬁ Ⅳ", "東京タワー 한국 हिन्दी", "$x^2+y`~|<>="]
ODD += ["👍🏽 👩\u200d👩\u200d👧 ☃\ufe0f 🇳🇴", "hei\x1cdu", "1.234,50 kr. (–20 %)", "«Hva?» – „nei“ …"]
RANGES = [(32, 127), (0xA0, 0x250), (0x300, 0x370), (0x370, 0x530), (0x1F300, 0x1FB00), (0x2000, 0x2C00), (0, 0xD800), (0xE000, 0x110000)]


@cache
def real_texts() -> tuple[str, ...]:
    """About 4,000 in bokmål, nynorsk, Danish and Swedish: queries and documents of the sample's evaluation set."""
    splits = [make_split(load(language), 0) for language in LANGUAGES]
    return tuple(text for split in splits for text in [*split.queries.values(), *list(split.corpus.values())[:750]])


@cache
def all_texts() -> tuple[str, ...]:
    """`real_texts`, some in upper case or with letters decomposed; odd ones; and characters of all of Unicode at random."""
    rng = random.Random(0)
    real = real_texts()
    made = ["".join(chr(rng.randrange(*rng.choice(RANGES[:4]))) for _ in range(rng.randrange(40))) for _ in range(500)]
    made += ["".join(chr(rng.randrange(*rng.choice(RANGES))) for _ in range(rng.randrange(40))) for _ in range(1000)]
    decomposed = normalizers.NFD()
    return (*real, *(text.upper() for text in real[::10]), *(decomposed.normalize_str(text) for text in real[::10]), *ODD, *made)


def ours(texts: Iterable[str]) -> PreTrainedTokenizerFast:
    return train_tokenizer(lambda: texts, 2000, LENGTH)


def bert(texts: Iterable[str], lowercase: bool = True) -> PreTrainedTokenizerFast:
    """As in BERT: control characters are dropped, and every Chinese character is a word."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizers.BertNormalizer(lowercase=lowercase), pre_tokenizers.BertPreTokenizer()
    return _trained(tokenizer, trainers.WordPieceTrainer(vocab_size=1000, special_tokens=[*SPECIAL.values()], show_progress=False), texts)


def cased(texts: Iterable[str]) -> PreTrainedTokenizerFast:
    return bert(texts, lowercase=False)


def byte_level(texts: Iterable[str]) -> PreTrainedTokenizerFast:
    """As in RoBERTa."""
    tokenizer = Tokenizer(models.BPE(unk_token="[UNK]"))
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.ByteLevel(), decoders.ByteLevel()
    return _trained(tokenizer, trainers.BpeTrainer(vocab_size=1000, special_tokens=[*SPECIAL.values()], show_progress=False), texts)


def unigram(texts: Iterable[str]) -> PreTrainedTokenizerFast:
    """As in XLM-RoBERTa."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizers.NFKC(), pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    special = [*SPECIAL.values()]
    trainer = trainers.UnigramTrainer(vocab_size=1000, special_tokens=special, unk_token="[UNK]", show_progress=False)
    return _trained(tokenizer, trainer, texts)


def _trained(tokenizer: Tokenizer, trainer: trainers.Trainer, texts: Iterable[str]) -> PreTrainedTokenizerFast:
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=LENGTH, **SPECIAL)


WORDPIECE, OTHERS = [ours, bert, cased], [byte_level, unigram]
Make = Callable[[Iterable[str]], PreTrainedTokenizerFast]


@cache
def inference_free(make: Make) -> SparseEncoder:
    """A model with random weights, a tenth of them 0; documents go the way of queries, which no export looks at."""
    tokenizer = make(real_texts()[::5])
    weights = torch.rand(len(tokenizer), generator=torch.Generator().manual_seed(0)) * 8
    weights[::10] = 0
    query, document = (SparseStaticEmbedding(tokenizer=tokenizer, weight=weights.clone()) for _ in range(2))
    return SparseEncoder(modules=[Router.for_query_document([query], [document])], device="cpu")


@pytest.fixture
def tiny() -> SparseEncoder:
    """As `inference_free`, of its own, so that a test may change it."""
    tokenizer = ours(real_texts()[::100])
    modules = [SparseStaticEmbedding(tokenizer=tokenizer, weight=torch.arange(len(tokenizer)) % 7 + 1.0) for _ in range(2)]
    return SparseEncoder(modules=[Router.for_query_document(modules[:1], modules[1:])], device="cpu")
