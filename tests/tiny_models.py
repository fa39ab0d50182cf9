"""Tiny models for tests: base models of each family of transformers, and trained sparse encoders. Their vocabulary is letters."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from sentence_transformers import SparseEncoder
from sentence_transformers.base.modules import Router, Transformer
from sentence_transformers.sentence_transformer.modules import Pooling
from sentence_transformers.sparse_encoder.modules import SparseAutoEncoder, SparseStaticEmbedding, SpladePooling
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from torch import nn
from transformers import AutoConfig, AutoModelForMaskedLM, BertConfig, BertForMaskedLM, PreTrainedTokenizerFast

SPECIAL = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]", "mask_token": "[MASK]"}
LETTERS = "abcdefghijklmnopqrstuvwxyzæøåäö0123456789?."
PIECES = [*SPECIAL.values(), *LETTERS, *(f"##{letter}" for letter in LETTERS)]
SMALL = {"num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32, "hidden_size": 24}
MARKS = {"pad_token_id": 0, "bos_token_id": 2, "cls_token_id": 2, "eos_token_id": 3, "sep_token_id": 3}
FAMILIES: dict[str, dict[str, Any]] = {
    "bert": SMALL,
    "roberta": SMALL | MARKS,
    "xlm-roberta": SMALL | MARKS,
    "distilbert": {"n_layers": 2, "n_heads": 2, "hidden_dim": 32, "dim": 24},
    "modernbert": SMALL | MARKS,
    "deberta-v2": SMALL | {"relative_attention": True, "pos_att_type": ["p2c", "c2p"]},
}


def letter_tokenizer(max_length: int, pieces: Sequence[str] = PIECES) -> PreTrainedTokenizerFast:
    """A tokenizer whose word pieces are single letters."""
    tokenizer = Tokenizer(models.WordPiece({piece: row for row, piece in enumerate(pieces)}, unk_token="[UNK]"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizers.Lowercase(), pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    tokenizer.decoder = decoders.WordPiece()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=max_length, **SPECIAL)


def write_base(folder: Path, family: str, loader: Any = AutoModelForMaskedLM, **settings: Any) -> Path:
    """Write a tiny random model of a family, more of whose logits are negative than positive, with its tokenizer; return ``folder``."""
    torch.manual_seed(0)
    size = {"vocab_size": len(PIECES), "max_position_embeddings": 64}
    model = loader.from_config(AutoConfig.for_model(family, **(size | FAMILIES.get(family, SMALL) | settings)))
    for name, parameter in model.named_parameters():
        nn.init.normal_(parameter, mean=float(parameter.ndim == 1 and name.endswith("weight")), std=0.3 if parameter.ndim > 1 else 0.1)
        if parameter.shape == (model.config.vocab_size,):
            nn.init.normal_(parameter, mean=-1.0, std=0.5)
    model.save_pretrained(str(folder))
    letter_tokenizer(60).save_pretrained(str(folder))
    return folder


def save(folder: Path, architecture: str) -> Path:
    """Save a trained model of an architecture in ``folder``, its base next to it, always with the same weights; return ``folder``."""
    torch.manual_seed(0)
    base = str(folder.with_name(f"{folder.name}-base"))
    tokenizer = letter_tokenizer(64)
    tokenizer.save_pretrained(base)
    shape = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    BertForMaskedLM(BertConfig(vocab_size=len(PIECES), max_position_embeddings=64, **shape)).save_pretrained(base)
    if architecture == "csr":
        modules = [Transformer(base), Pooling(16), SparseAutoEncoder(input_dim=16, hidden_dim=64, k=8)]
    else:
        modules = [Transformer(base, transformer_task="fill-mask"), SpladePooling()]
    if architecture == "inference-free-splade":
        query = [SparseStaticEmbedding(tokenizer=tokenizer)]
        modules = [Router.for_query_document(query_modules=query, document_modules=modules)]
    SparseEncoder(modules=modules).save_pretrained(str(folder))
    return folder


def without_dropout(model: SparseEncoder) -> SparseEncoder:
    """``model`` in training mode with all dropout off: masks depend on how a batch is encoded."""
    for module in model.train().modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        for name in ("attention_dropout", "attention_probs_dropout_prob", "dropout_prob"):
            if isinstance(getattr(module, name, None), float):
                setattr(module, name, 0.0)
    return model
