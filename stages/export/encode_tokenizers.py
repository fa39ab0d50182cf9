"""Queries as sparse vectors with the packages tokenizers and numpy: split into tokens, and look up the weight of each.

python encode.py "Hvor kan jeg leie sykkel i Tromsø?"
"""

import json
import sys
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer


class QueryEncoder:
    def __init__(self, folder: str | Path) -> None:
        self.settings = json.loads(Path(folder, "query.json").read_text(encoding="utf-8"))
        self.weights = np.load(Path(folder, "weights.npy"))
        self.tokenizer = Tokenizer.from_file(str(Path(folder, "tokenizer.json")))

    def __call__(self, query: str) -> tuple[np.ndarray, np.ndarray]:
        """The dimensions that are not zero, ascending, and their weights."""
        ids = np.array(sorted(set(self.tokenizer.encode(self.settings["prompt"] + query).ids)), np.int64)
        ids = ids[self.weights[ids] != 0]
        ids = np.sort(ids[np.argsort(-np.abs(self.weights[ids]), kind="stable")][: self.settings["max_dims"]])
        return ids, self.weights[ids]


if __name__ == "__main__":
    encoder = QueryEncoder(Path(__file__).parent)
    for number, weight in zip(*encoder(sys.argv[1]), strict=True):
        print(f"{encoder.tokenizer.id_to_token(number)}\t{weight:.4f}")
