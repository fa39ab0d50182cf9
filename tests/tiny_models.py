"""Sparse encoders of a few thousand weights, saved as sentence-transformers saves them; they know letters and nothing else."""

from pathlib import Path

import torch
from sentence_transformers import SparseEncoder
from sentence_transformers.base.modules import Router, Transformer
from sentence_transformers.sentence_transformer.modules import Pooling
from sentence_transformers.sparse_encoder.modules import SparseAutoEncoder, SparseStaticEmbedding, SpladePooling
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertForMaskedLM, PreTrainedTokenizerFast

SPECIAL = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]", "mask_token": "[MASK]"}
LETTERS = "abcdefghijklmnopqrstuvwxyzæøåäö0123456789?."


def save(folder: Path, architecture: str) -> Path:
    """Save a model of that architecture in ``folder``, its base beside it, always the same weights; return ``folder``."""
    torch.manual_seed(0)
    base = str(folder.with_name(f"{folder.name}-base"))
    vocabulary = [*SPECIAL.values(), *LETTERS, *(f"##{letter}" for letter in LETTERS)]
    pieces = Tokenizer(models.WordPiece({piece: row for row, piece in enumerate(vocabulary)}, unk_token="[UNK]"))
    pieces.normalizer, pieces.pre_tokenizer = normalizers.Lowercase(), pre_tokenizers.BertPreTokenizer()
    pieces.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    pieces.decoder = decoders.WordPiece()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=pieces, model_max_length=64, **SPECIAL)
    tokenizer.save_pretrained(base)
    shape = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    BertForMaskedLM(BertConfig(vocab_size=len(vocabulary), max_position_embeddings=64, **shape)).save_pretrained(base)
    if architecture == "csr":
        modules = [Transformer(base), Pooling(16), SparseAutoEncoder(input_dim=16, hidden_dim=64, k=8)]
    else:
        modules = [Transformer(base, transformer_task="fill-mask"), SpladePooling()]
    if architecture == "inference-free-splade":
        query = [SparseStaticEmbedding(tokenizer=tokenizer)]
        modules = [Router.for_query_document(query_modules=query, document_modules=modules)]
    SparseEncoder(modules=modules).save_pretrained(str(folder))
    return folder
