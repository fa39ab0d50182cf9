"""Queries as sparse vectors with numpy alone: split into word pieces, and look up the weight of each.

    python encode.py "Hvor kan jeg leie sykkel i Tromsø?"

A text is split at special tokens, brought into a Unicode form, and mapped character by character: lower case, spaces around punctuation.
Each word then gives the longest pieces of the vocabulary, from left to right.
"""

import json
import re
import sys
import unicodedata
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np


class QueryEncoder:
    def __init__(self, folder: str | Path) -> None:
        s = self.settings = json.loads(Path(folder, "query.json").read_text(encoding="utf-8"))
        self.weights = np.load(Path(folder, "weights.npy"))
        self.vocabulary = {token: number for number, token in enumerate(s["tokens"])}
        self.characters = str.maketrans(s["characters"])
        self.special = re.compile(f"({'|'.join(map(re.escape, s['special_tokens'])) or '(?!)'})")

    def __call__(self, query: str) -> tuple[np.ndarray, np.ndarray]:
        """The dimensions that are not zero, ascending, and their weights."""
        pieces = islice(self.pieces(self.settings["prompt"] + query), self.settings["max_tokens"])
        ids = np.array(sorted(set(pieces)), np.int64)
        ids = ids[self.weights[ids] != 0]
        ids = np.sort(ids[np.argsort(-np.abs(self.weights[ids]), kind="stable")][: self.settings["max_dims"]])
        return ids, self.weights[ids]

    def pieces(self, text: str) -> Iterator[int]:
        for place, part in enumerate(self.special.split(text)):
            if place % 2:
                yield self.vocabulary[part]
            else:
                if self.settings["unicode_form"]:
                    part = unicodedata.normalize(self.settings["unicode_form"], part)
                for word in filter(None, part.translate(self.characters).split(" ")):
                    yield from self.word(word)

    def word(self, word: str) -> list[int]:
        found, start = [], 0
        while start < len(word) <= self.settings["max_word"]:
            prefix = self.settings["prefix"] if start else ""
            ends = (end for end in range(len(word), start, -1) if prefix + word[start:end] in self.vocabulary)
            if not (end := next(ends, 0)):
                break
            found.append(self.vocabulary[prefix + word[start:end]])
            start = end
        return found if start == len(word) else [self.vocabulary[self.settings["unknown"]]]


if __name__ == "__main__":
    encoder = QueryEncoder(Path(__file__).parent)
    for number, weight in zip(*encoder(sys.argv[1]), strict=True):
        print(f"{encoder.settings['tokens'][number]}\t{weight:.4f}")
