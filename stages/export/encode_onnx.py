"""Queries as sparse vectors with the packages onnxruntime, tokenizers and numpy.

python encode.py "Hvor kan jeg leie sykkel i Tromsø?"
"""

import json
import sys
from pathlib import Path

import numpy as np
from onnxruntime import InferenceSession
from tokenizers import Tokenizer


class QueryEncoder:
    def __init__(self, folder: str | Path) -> None:
        self.settings = json.loads(Path(folder, "query.json").read_text(encoding="utf-8"))
        self.tokenizer = Tokenizer.from_file(str(Path(folder, "tokenizer.json")))
        self.session = InferenceSession(str(Path(folder, "model.onnx")), providers=["CPUExecutionProvider"])
        self.inputs = [each.name for each in self.session.get_inputs()]

    def __call__(self, query: str) -> tuple[np.ndarray, np.ndarray]:
        """The dimensions that are not zero, ascending, and their weights."""
        text = self.tokenizer.encode(self.settings["prompt"] + query)
        rows = {"input_ids": text.ids, "attention_mask": text.attention_mask, "token_type_ids": text.type_ids}
        vector = self.session.run(None, {name: np.array([rows[name]], np.int64) for name in self.inputs})[0][0]
        ids = np.flatnonzero(vector)
        ids = np.sort(ids[np.argsort(-np.abs(vector[ids]), kind="stable")][: self.settings["max_dims"]])
        return ids, vector[ids]


if __name__ == "__main__":
    encoder = QueryEncoder(Path(__file__).parent)
    for number, weight in zip(*encoder(sys.argv[1]), strict=True):
        print(f"{number}\t{weight:.4f}")
