"""Which tokens a trimmed tokenizer keeps, and its tokenizer.json without the others.

Kept are the tokens that the texts need, all single characters and byte fall-backs, so that no text turns into unknown tokens, and all added
tokens, special ones among them. A text whose tokens are all kept is split as before, for each kind of tokenizer by its own argument:

- WordPiece takes the longest piece that fits. Among fewer pieces, the longest of all is still the longest.
- Unigram takes the most probable pieces. The best split of all is still the best. Unknown characters are scored by the least probable piece
  of the vocabulary, so that piece is kept too.
- BPE applies the merges in their order. With every merge on the way to a kept token, the first that fits is the same. A token's merges
  depend on its own characters only: no merge crosses its borders, or it would not be a token of the text.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from typing import Any

import numpy as np

BYTES = {f"<0x{byte:02X}>" for byte in range(256)}
KINDS = ("WordPiece", "Unigram", "BPE")


class Untrimmable(Exception):
    """The tokenizer is of a kind that cannot be trimmed; the message says what it is."""


def kept_tokens(tokenizer: Mapping[str, Any], wanted: Iterable[int]) -> np.ndarray:
    """The ids of all tokens to keep, ascending.

    Args:
        tokenizer: the content of tokenizer.json, as the installed library writes it.
        wanted: ids that the texts need.

    Raises:
        Untrimmable: its model is none of `KINDS`, or a BPE that marks the start or end of words in its tokens.
    """
    model, vocabulary = tokenizer["model"], _vocabulary(tokenizer["model"])
    added = {token["id"] for token in tokenizer["added_tokens"]}
    inner = model.get("continuing_subword_prefix") or ""
    single = {row for piece, row in vocabulary.items() if len(piece.removeprefix(inner)) == 1 or piece in BYTES}
    kept = {*wanted, *added, *single, *(vocabulary[piece] for piece in [model.get("unk_token")] if piece in vocabulary)}
    if model["type"] == "Unigram":
        scores = [score for _, score in model["vocab"]]
        kept |= {scores.index(min(scores)), *([] if model["unk_id"] is None else [model["unk_id"]])}
    if model["type"] == "BPE":
        ranks = {(left, right): rank for rank, (left, right) in enumerate(model["merges"])}
        pieces = [piece for piece, row in vocabulary.items() if row in kept and row not in added]
        kept |= {vocabulary[part] for piece in pieces for part in merged(piece, ranks)}
    return np.array(sorted(kept))


def merged(piece: str, ranks: Mapping[tuple[str, str], int]) -> Iterator[str]:
    """What BPE's merges make on the way from a piece's characters to the piece, which is the last.

    >>> list(merged("boka", {("k", "a"): 0, ("b", "o"): 1, ("bo", "k"): 2, ("bo", "ka"): 3}))
    ['ka', 'bo', 'boka']
    """
    parts = list(piece)
    while len(parts) > 1:
        rank, place = min((ranks.get(pair, math.inf), place) for place, pair in enumerate(pairwise(parts)))
        if rank == math.inf:
            return
        parts[place : place + 2] = ["".join(parts[place : place + 2])]
        yield parts[place]


def without(tokenizer: Mapping[str, Any], kept: np.ndarray) -> dict[str, Any]:
    """The content of tokenizer.json with only the tokens ``kept``: the i-th of them gets id i."""
    new = {int(old): row for row, old in enumerate(kept)}
    model = dict(tokenizer["model"])
    if model["type"] == "Unigram":
        model["vocab"] = [model["vocab"][old] for old in new if old < len(model["vocab"])]
        model["unk_id"] = None if model["unk_id"] is None else new[model["unk_id"]]
    else:
        model["vocab"] = {piece: new[row] for piece, row in sorted(model["vocab"].items(), key=lambda item: item[1]) if row in new}
    if model["type"] == "BPE":
        left = model["vocab"]
        model["merges"] = [[one, two] for one, two in model["merges"] if one in left and two in left and one + two in left]
    added = [token | {"id": new[token["id"]]} for token in tokenizer["added_tokens"]]
    padding = tokenizer["padding"] and tokenizer["padding"] | {"pad_id": new[tokenizer["padding"]["pad_id"]]}
    changed = {"model": model, "added_tokens": added, "padding": padding}
    return dict(tokenizer) | changed | {"post_processor": _renumbered(tokenizer["post_processor"], new)}


def _vocabulary(model: Mapping[str, Any]) -> dict[str, int]:
    """Id by piece."""
    if model["type"] not in KINDS:
        raise Untrimmable(f"is of type {model['type']}, none of {', '.join(KINDS)}")
    if model["type"] == "BPE" and (model.get("continuing_subword_prefix") or model.get("end_of_word_suffix")):
        raise Untrimmable("is a BPE with a prefix or suffix in its tokens")
    if model["type"] == "Unigram":
        return {piece: row for row, (piece, _) in enumerate(model["vocab"])}
    return dict(model["vocab"])


def _renumbered(processor: Any, new: Mapping[int, int]) -> Any:
    """A post-processor with the new ids of the special tokens that it adds."""
    if processor is None:
        return None
    changed = dict(processor)
    if "processors" in changed:  # a sequence
        changed["processors"] = [_renumbered(each, new) for each in changed["processors"]]
    if "special_tokens" in changed:  # a template
        changed["special_tokens"] = {
            name: token | {"ids": [new[row] for row in token["ids"]]} for name, token in changed["special_tokens"].items()
        }
    for mark in {"cls", "sep"} & changed.keys():  # BERT's and RoBERTa's
        changed[mark] = [changed[mark][0], new[changed[mark][1]]]
    return changed
