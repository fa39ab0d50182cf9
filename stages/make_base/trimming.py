"""Cut a base model's vocabulary to the tokens of the training texts: tokenizer, embeddings and masked-LM head alike.

Ushio et al. 2023, "An Efficient Multilingual Language Model Compression through Vocabulary Trimming" (arXiv 2305.15020). A multilingual
model has 250,000 tokens, most of them of other languages: for SPLADE, slow dimensions that match nothing. The rows that stay are copied, so
that a text whose tokens all stay has the same logits for them as before. What it gives up: words that the training texts lack are split
into more tokens, and no text can be expanded to a token that is gone. `pieces` says which tokens stay.
"""

import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain, compress, islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from tokenizers import Tokenizer

from stages.make_base.pieces import Untrimmable, kept_tokens, without
from stages.pretrained.check import load_tokenizer
from stages.pretrained.files import OFFSET_FAMILIES, Use
from stages.pretrained.norbert import transformer_folder
from stages.rows.normalisation import HashSet, hash_texts
from stages.rows.parquet import read_tables, text_columns
from stages.runtime.files import read_json

CHUNK = 10_000  # texts
CHECKED = 1_000  # texts whose split is compared with the original's


def prompted(rows: Path, prompts: Mapping[str, str]) -> Iterator[str]:
    """The texts of mixed rows as the model reads them, after the prompts of "query" and "document"."""
    for table in read_tables(rows):
        for column in text_columns(table.column_names):
            prompt = prompts.get("query" if column == "anchor" else "document", "")
            yield from (prompt + text for text in table[column].to_pylist() if text)


def trim_base(base: Path, folder: Path, use: Use, texts: Callable[[], Iterable[str]], smallest_count: int) -> tuple[int, int]:
    """Write the masked language model in ``base`` to ``folder`` without the tokens that are rare in the texts.

    Args:
        use: how the model is named in errors, and whether its code may run.
        texts: gives the training texts with their prompts; called twice. Equal texts count once.
        smallest_count: the occurrences that a token needs to stay.

    Returns:
        the number of tokens before and after.

    Raises:
        UserError: its tokenizer cannot be trimmed.
    """
    place = transformer_folder(base)
    config, tokenizer = read_json(place / "config.json"), load_tokenizer(base, use)
    rows = config["vocab_size"]
    try:
        if not tokenizer.is_fast:
            raise Untrimmable("is not one of the tokenizers library")
        whole = json.loads(tokenizer.backend_tokenizer.to_str())
        frequent = np.flatnonzero(count_tokens(_splitter(whole), texts(), rows) >= smallest_count)
        kept = kept_tokens(whole, [*frequent.tolist(), *_named_ids(config)])
        trimmed = without(whole, kept)
        _require_same_splits(_splitter(whole), _splitter(trimmed), kept, islice(texts(), CHECKED))
    except Untrimmable as error:
        raise use.error(f"has a tokenizer that {error}, and so cannot be trimmed; set model.trim_vocabulary to null") from error
    for code in place.glob("*.py"):
        shutil.copy(code, folder)
    tokenizer.save_pretrained(folder)
    _write_json(folder / "tokenizer.json", trimmed)
    _write_json(folder / "config.json", _renumbered(config, kept))
    save_file(_cut_weights(place, rows, kept), folder / "model.safetensors", {"format": "pt"})
    return rows, len(kept)


def count_tokens(tokenizer: Tokenizer, texts: Iterable[str], rows: int) -> np.ndarray:
    """How often each token occurs in the distinct texts, int64 of shape (rows,). Memory: 8 bytes per distinct text."""
    counts, seen, iterator = np.zeros(rows, np.int64), HashSet(), iter(texts)
    while chunk := list(islice(iterator, CHUNK)):
        new = seen.add(hash_texts(pa.array(chunk, pa.string())))
        encodings = tokenizer.encode_batch_fast(list(compress(chunk, new)), add_special_tokens=False)
        ids = np.fromiter(chain.from_iterable(encoding.ids for encoding in encodings), np.int64)
        counts += np.bincount(ids, minlength=rows)
    return counts


def _splitter(content: Mapping[str, Any]) -> Tokenizer:
    """The tokenizer of a tokenizer.json, for whole texts."""
    tokenizer = Tokenizer.from_str(json.dumps(content))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def _require_same_splits(before: Tokenizer, after: Tokenizer, kept: np.ndarray, texts: Iterable[str]) -> None:
    """Raise Untrimmable if a text whose tokens are all kept is split otherwise than before."""
    stays = set(kept.tolist())
    for text in texts:
        ids = before.encode(text).ids
        if stays.issuperset(ids) and ids != kept[after.encode(text).ids].tolist():
            raise Untrimmable(f"would split {text[:40]!r} in another way")


def _named_ids(config: Mapping[str, Any]) -> Iterator[int]:
    """The ids that config.json names, and all below the padding token's if positions are counted from it."""
    yield from (value for key, value in config.items() if key.endswith("_token_id") and isinstance(value, int))
    if config.get("model_type") in OFFSET_FAMILIES:
        yield from range(config.get("pad_token_id") or 0)


def _renumbered(config: Mapping[str, Any], kept: np.ndarray) -> dict[str, Any]:
    """config.json with the new ids and the new number of tokens."""
    ids = {key: int(np.searchsorted(kept, value)) for key, value in config.items() if key.endswith("_token_id") and isinstance(value, int)}
    return dict(config) | ids | {"vocab_size": len(kept)}


def _cut_weights(place: Path, rows: int, kept: np.ndarray) -> dict[str, torch.Tensor]:
    """All weights of a model; of those with a row for each token, the rows that are kept.

    A weight of another kind with as many rows would be cut too; the model then does not load, as sizes differ, and training says so.
    """
    weights, index = {}, torch.from_numpy(kept)
    for path in sorted(place.glob("*.safetensors")):
        with safe_open(str(path), framework="pt") as file:
            for name in file.keys():  # noqa: SIM118 – no mapping
                weight = file.get_tensor(name)
                weights[name] = weight[index] if weight.ndim and len(weight) == rows else weight
    return weights


def _write_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
