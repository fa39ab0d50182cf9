"""The models that the profiles name, with a few thousand weights: the code of the look-alikes, the files of the real repositories.

`MODELS` is keyed as ``models`` in params.yaml.
"""

import io
import json
import math
import shutil
import tempfile
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModelForMaskedLM,
    BertConfig,
    BertModel,
    DistilBertConfig,
    DistilBertForMaskedLM,
    ModernBertConfig,
    PreTrainedConfig,
    PreTrainedTokenizerFast,
    XLMRobertaConfig,
)

from stages.make_base.lexical import BIAS, train_tokenizer
from tests.fakes.hub_store import read
from tests.fakes.lookalikes.folders import write_folder
from tests.fakes.repositories import texts
from tests.fakes.repositories.layout import Files, Repository, card

POSITIONS = 512


@cache
def tokenizer() -> PreTrainedTokenizerFast:
    """Word pieces of all our languages; the ids that NorBERT 3 never predicts are single letters."""
    rows = [text for language in ("nb", "nn", "da", "sv") for row in texts.pairs(language) for text in (row["query"], row["positive"])]
    rows += [text for pair in texts.english() for text in pair]
    return train_tokenizer(lambda: rows, 1500, POSITIONS)


def norbert3_base() -> list[Repository]:
    """Main has pickled weights; the Hub's bot converted them on refs/pr/5, where it kept the head and dropped the embedding tied to it."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "model"
        _lookalike(folder, "norbert3", max_position_embeddings=POSITIONS)
        weights = load_file(folder / "model.safetensors")
        (folder / "model.safetensors").unlink()
        weights["classifier.nonlinearity.5.bias"] -= 3  # as sparse as a trained head, so that four steps do not end dense
        embedding = weights.pop("embedding.word_embedding.weight")
        head = {"classifier.nonlinearity.5.weight": embedding}
        pickled = io.BytesIO()
        torch.save(weights | head | {"embedding.word_embedding.weight": embedding}, pickled)
        files = read(folder) | {"README.md": card({"license": "apache-2.0"})}
        save_file(weights | head, str(folder / "model.safetensors"), metadata={"format": "pt"})
        main = files | {"pytorch_model.bin": pickled.getvalue()}
        converted = main | {"model.safetensors": (folder / "model.safetensors").read_bytes()}
    repo = "ltg/norbert3-base"
    return [Repository("model", repo, main), Repository("model", repo, converted, branch="refs/pr/5")]


def norbert4_embedding() -> list[Repository]:
    """A dense sentence-transformers folder on NorBERT 4 without its head; auto_map names another repository for unused classes."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "model"
        _lookalike(folder, "norbert4", masked_lm=False, max_sequence_length=POSITIONS)
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        config["auto_map"] |= {
            f"AutoModelFor{task}": f"ltg/norbert4-base--modeling_gptbert.GptBertFor{task}"
            for task in ("CausalLM", "MaskedLM", "SequenceClassification", "TokenClassification", "QuestionAnswering")
        }
        _write_json(folder / "config.json", config)
        pieces = [("", "base.modules.transformer.Transformer"), ("1_Pooling", "sentence_transformer.modules.pooling.Pooling")]
        pieces.append(("2_Normalize", "sentence_transformer.modules.normalize.Normalize"))
        modules = [
            {"idx": number, "name": str(number), "path": path, "type": f"sentence_transformers.{kind}"}
            for number, (path, kind) in enumerate(pieces)
        ]
        _write_json(folder / "modules.json", modules)
        _write_json(folder / "sentence_bert_config.json", {"max_seq_length": POSITIONS, "do_lower_case": False})
        prompts = {"query": "", "document": ""}
        _write_json(folder / "config_sentence_transformers.json", {"prompts": prompts, "similarity_fn_name": "cosine"})
        _write_json(
            folder / "1_Pooling" / "config.json", {"word_embedding_dimension": config["hidden_size"], "pooling_mode_mean_tokens": True}
        )
        _write_json(folder / "2_Normalize" / "config.json", {})
        header = {"license": "apache-2.0", "library_name": "sentence-transformers", "base_model": "ltg/norbert4-base"}
        files = read(folder) | {"README.md": card(header), "runs/events.out.tfevents.1": b"log"}
    return [Repository("model", "thivy/norbert4-base-scandinavian-embedding", files)]


def multilingual_e5_small() -> list[Repository]:
    """A dense sentence-transformers folder on stock BERT, without config_sentence_transformers.json and so without its prompts."""
    size = 32
    config = BertConfig(
        vocab_size=len(tokenizer()), hidden_size=size, num_hidden_layers=1, num_attention_heads=2, intermediate_size=2 * size,
        max_position_embeddings=POSITIONS,
    )  # fmt: skip
    torch.manual_seed(0)
    pieces = {"": "Transformer", "1_Pooling": "Pooling", "2_Normalize": "Normalize"}
    modules = [
        {"idx": number, "name": str(number), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for number, (path, kind) in enumerate(pieces.items())
    ]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        BertModel(config).save_pretrained(folder)
        tokenizer().save_pretrained(folder)
        _write_json(folder / "modules.json", modules)
        _write_json(folder / "sentence_bert_config.json", {"max_seq_length": POSITIONS, "do_lower_case": False})
        _write_json(folder / "1_Pooling" / "config.json", {"word_embedding_dimension": size, "pooling_mode_mean_tokens": True})
        files = read(folder) | {"README.md": card({"license": "mit", "tags": ["sentence-transformers"]})}
    twice: Files = dict.fromkeys(("pytorch_model.bin", "onnx/model.onnx", "openvino/openvino_model.xml"), b"not needed")
    return [Repository("model", "intfloat/multilingual-e5-small", {**files, **twice})]


def distilbert_base() -> list[Repository]:
    """A stock masked language model in every format there is; it starts out lexical, as `stages.make_base.lexical` draws one."""
    size = 48
    config = DistilBertConfig(
        vocab_size=len(tokenizer()), dim=size, n_layers=1, n_heads=2, hidden_dim=2 * size, max_position_embeddings=POSITIONS
    )
    torch.manual_seed(0)
    model = DistilBertForMaskedLM(config)
    with torch.no_grad():
        model.distilbert.embeddings.word_embeddings.weight.normal_(0, 1 / math.sqrt(size))
        for name, weight in model.distilbert.transformer.named_parameters():
            if name.endswith(("out_lin.weight", "lin2.weight")):
                weight.mul_(0.1)
        model.vocab_transform.weight.copy_(torch.eye(size))
        model.vocab_transform.bias.zero_()
        model.vocab_projector.bias.fill_(BIAS)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        model.save_pretrained(folder)
        tokenizer().save_pretrained(folder)
        files = read(folder) | {"README.md": card({"license": "apache-2.0", "language": "en"}), "LICENSE": b"Apache License 2.0"}
    twice: Files = dict.fromkeys(("pytorch_model.bin", "tf_model.h5", "flax_model.msgpack", "rust_model.ot"), b"not needed")
    return [Repository("model", "distilbert/distilbert-base-uncased", {**files, **twice, "coreml/model.mlmodel": b"not needed"})]


def multilingual(repo: str, kind: type[PreTrainedConfig], **settings: int) -> list[Repository]:
    """A stock masked language model of many languages, with the tokenizer of the other models."""
    size = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2, "pad_token_id": 0}
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        config = kind(vocab_size=len(tokenizer()), max_position_embeddings=POSITIONS, **{**size, **settings})
        AutoModelForMaskedLM.from_config(config).save_pretrained(folder)
        tokenizer().save_pretrained(folder)
        files = read(folder) | {"README.md": card({"license": "mit", "language": "multilingual"}), "pytorch_model.bin": b"not needed"}
    return [Repository("model", repo, files)]


def _lookalike(folder: Path, family: str, *, masked_lm: bool = True, **settings: Any) -> None:
    write_folder(folder, family, masked_lm=masked_lm, settings={"vocab_size": len(tokenizer()), **settings})
    for path in (*folder.glob("tokenizer*"), *folder.glob("special_tokens*")):
        path.unlink()
    tokenizer().save_pretrained(folder)
    for cache_folder in folder.glob("__pycache__"):
        shutil.rmtree(cache_folder)


def _write_json(path: Path, value: Any) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


MODELS: dict[str, Callable[[], list[Repository]]] = {
    name: cache(make)
    for name, make in {
        "norbert3-base": norbert3_base,
        "norbert4-embedding": norbert4_embedding,
        "distilbert-base": distilbert_base,
        "multilingual-e5-small": multilingual_e5_small,
        "mmbert-small": partial(multilingual, "jhu-clsp/mmBERT-small", ModernBertConfig),
        "mmbert-base": partial(multilingual, "jhu-clsp/mmBERT-base", ModernBertConfig, num_hidden_layers=2),
        "xlm-roberta-base": partial(multilingual, "FacebookAI/xlm-roberta-base", XLMRobertaConfig, type_vocab_size=1),
    }.items()
}
