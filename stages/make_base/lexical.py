"""A base model made from nothing but training texts: a small masked language model that starts out lexical.

Its weights are drawn so that each token's largest logit is the token itself: untrained, it scores about as well as BM25 does, and training
only has to add what BM25 lacks. No pre-training, no download; a few seconds.
"""

import math
from collections.abc import Callable, Iterable
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import BertConfig, BertForMaskedLM, PreTrainedTokenizerFast

SPECIAL = {f"{name}_token": f"[{name.upper()}]" for name in ("pad", "unk", "cls", "sep", "mask")}
NEVER = -100.0  # bias of the special tokens' logits: they take no weight in a representation
BIAS = -4.0  # a token's own logit is about sqrt(hidden) above it, any other's about 0 + BIAS: zero after relu


def make_base(
    texts: Callable[[], Iterable[str]],
    folder: Path,
    *,
    vocab_size: int,
    hidden_size: int,
    num_hidden_layers: int,
    num_attention_heads: int,
    max_seq_length: int,
    seed: int,
) -> None:
    """Write a word-piece tokenizer and a lexically drawn `BertForMaskedLM` to ``folder``.

    Args:
        texts: gives the texts that the tokenizer is trained on; called twice.
    """
    tokenizer = train_tokenizer(texts, vocab_size, max_seq_length)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=hidden_size,
        num_hidden_layers=num_hidden_layers,
        num_attention_heads=num_attention_heads,
        intermediate_size=4 * hidden_size,
        max_position_embeddings=max(512, max_seq_length),
        pad_token_id=0,
    )
    draw_model(config, tokenizer.all_special_ids, seed).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def train_tokenizer(texts: Callable[[], Iterable[str]], vocab_size: int, max_seq_length: int) -> PreTrainedTokenizerFast:
    """Lower-cased word pieces; accents stay, for å and a are different letters here. Same texts, same tokenizer.

    The trainer breaks ties by the order in which it meets a letter inside a word, which is another one in every run. So these pieces are
    given to it in a fixed order, as special tokens, and the tokenizer is made anew from the vocabulary.
    """
    normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    letters = sorted({letter for text in texts() for letter in normalizer.normalize_str(text) if not letter.isspace()})
    inner = [f"##{letter}" for letter in letters]
    trained = _tokenizer(models.WordPiece(unk_token=SPECIAL["unk_token"]), normalizer)
    trainer = trainers.WordPieceTrainer(vocab_size=vocab_size, special_tokens=[*SPECIAL.values(), *inner], show_progress=False)
    trained.train_from_iterator(texts(), trainer)
    tokenizer = _tokenizer(models.WordPiece(vocab=trained.get_vocab(), unk_token=SPECIAL["unk_token"]), normalizer)
    cls, sep = SPECIAL["cls_token"], SPECIAL["sep_token"]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{cls} $A {sep}",
        pair=f"{cls} $A {sep} $B:1 {sep}:1",
        special_tokens=[(token, tokenizer.token_to_id(token)) for token in (cls, sep)],
    )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=max_seq_length, **SPECIAL)


def _tokenizer(model: models.WordPiece, normalizer: normalizers.Normalizer) -> Tokenizer:
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece(cleanup=False)
    return tokenizer


def draw_model(config: BertConfig, special_ids: list[int], seed: int) -> BertForMaskedLM:
    """Random weights under which each token's largest logit is its own."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = BertForMaskedLM(config)
        with torch.no_grad():
            embeddings, head = model.bert.embeddings, model.cls.predictions
            embeddings.word_embeddings.weight.normal_(0, 1 / math.sqrt(config.hidden_size))
            embeddings.position_embeddings.weight.mul_(0.1)
            embeddings.token_type_embeddings.weight.zero_()
            for name, weight in model.bert.encoder.named_parameters():
                if name.endswith("output.dense.weight"):  # of the attention and of the feed-forward part
                    weight.mul_(0.1)
            head.transform.dense.weight.copy_(torch.eye(config.hidden_size))
            head.transform.dense.bias.zero_()
            head.decoder.bias.fill_(BIAS)
            head.decoder.bias[special_ids] = NEVER
    model.tie_weights()
    return model
