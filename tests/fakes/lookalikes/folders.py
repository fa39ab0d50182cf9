"""Folders as ltg/norbert4-* and ltg/norbert3-* are: configuration, code, one safetensors file, a tokenizer."""

import importlib
import json
import shutil
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn
from transformers import PreTrainedModel

from tests.tiny_models import PIECES, letter_tokenizer

NORBERT4 = {
    "vocab_size": 200,
    "hidden_size": 24,
    "num_layers": 3,
    "num_attention_heads": 2,
    "query_key_head_size": 12,
    "max_sequence_length": 128,
    "local_global_ratio": 2,
    "hidden_dropout": 0.1,
    "bos_token_id": 2,
    "pad_token_id": 0,
}
NORBERT3 = {"vocab_size": 200, "hidden_size": 24, "max_position_embeddings": 128}
NAMES = {"norbert4": ("gptbert", "GptBert", NORBERT4), "norbert3": ("norbert", "Norbert", NORBERT3)}
HEAD = {"norbert4": "classifier.emb2vocab.weight", "norbert3": "classifier.nonlinearity.5.weight"}


def write_folder(
    folder: Path,
    family: str,
    *,
    masked_lm: bool = True,
    tied: bool = True,
    without: Collection[str] = (),
    dtype: torch.dtype | None = None,
    settings: Mapping[str, Any] | None = None,
) -> PreTrainedModel:
    """Write a tiny random model of norbert3 or norbert4 and return it, as its code makes it without any loading, in eval mode.

    Args:
        tied: whether the file holds one tensor for embeddings and head.
        without: the file lacks weights whose names contain one of these.
        settings: keys of config.json, over the family's own.
    """
    file, prefix, usual = NAMES[family]
    settings = {**usual, **(settings or {})}
    model = build(family, masked_lm=masked_lm, tied=tied, settings=settings)
    folder.mkdir(parents=True)
    source = Path(__file__).parent
    for name in (f"modeling_{file}.py", f"configuration_{file}.py"):
        shutil.copy(source / name, folder)
    kind = "ForMaskedLM" if masked_lm else "Model"
    auto_map = {
        "AutoConfig": f"configuration_{file}.{prefix}Config",
        "AutoModel": f"modeling_{file}.{prefix}Model",
        "AutoModelForMaskedLM": f"modeling_{file}.{prefix}ForMaskedLM",
    }
    config = {"architectures": [f"{prefix}{kind}"], "auto_map": auto_map, **settings}
    if family == "norbert4":
        config["tie_word_embeddings"] = True  # whatever the file holds
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    left_out = {*without, *([HEAD[family]] if tied or family == "norbert3" else [])}
    weights = {n: w.clone().to(dtype) if dtype and w.is_floating_point() else w.clone() for n, w in model.state_dict().items()}
    kept = {name: weight for name, weight in weights.items() if not any(part in name for part in left_out)}
    save_file(kept, str(folder / "model.safetensors"), metadata={"format": "pt"})
    write_tokenizer(folder)
    return model


def build(family: str, *, masked_lm: bool = True, tied: bool = True, settings: Mapping[str, Any] | None = None) -> PreTrainedModel:
    """The random model itself; about a tenth of its raw logits are positive."""
    file, prefix, usual = NAMES[family]
    settings = settings or usual
    package = __name__.rpartition(".")[0]
    configuration = importlib.import_module(f"{package}.configuration_{file}")
    modelling = importlib.import_module(f"{package}.modeling_{file}")
    extra = {"is_decoder": False, "tie_word_embeddings": False} if family == "norbert4" else {}
    torch.manual_seed(0)
    kind = "ForMaskedLM" if masked_lm else "Model"
    model: PreTrainedModel = getattr(modelling, f"{prefix}{kind}")(getattr(configuration, f"{prefix}Config")(**settings, **extra))
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.3)
    if family == "norbert4" and masked_lm and tied:
        model.classifier.emb2vocab.weight = model.embedding.word_embedding.weight
    if masked_lm:
        head = model.classifier.emb2vocab if family == "norbert4" else model.classifier.nonlinearity[-1]
        nn.init.normal_(head.bias, mean=-4.0 if family == "norbert4" else -2.0, std=0.3)
    return model.eval()


def write_tokenizer(folder: Path) -> None:
    """Letters behind 114 pieces that no text has, like the first ones of NorBERT 3; 200 in all."""
    fillers = [f"<{number}>" for number in range(5, 114)]
    letter_tokenizer(100, [*PIECES[:5], *fillers, *PIECES[5:]]).save_pretrained(str(folder))
