"""The tokenizer of OpenSearch's `neural_sparse` query: its model type SPARSE_TOKENIZE, a zip file with tokenizer.json and idf.json.

https://docs.opensearch.org/latest/vector-search/ai-search/neural-sparse-custom. A query gives each of its tokens the weight in idf.json,
by the token's text, and 1 for one that is missing. So documents must be indexed by the texts of the tokens. Gives up: a prompt, and the
pruning of queries, are not applied. A weight must be above 0 and at most 64 (Lucene's `FeatureField`): lower ones are raised to `LEAST`,
and if one is higher, all are scaled down.
"""

import hashlib
import json
from operator import itemgetter
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

import numpy as np
from tokenizers import Tokenizer

LEAST, MOST = 1e-6, 64.0
URL = "https://… or file:///… of opensearch.zip, as the cluster's nodes see it"


def write(tokenizer: Tokenizer, weights: np.ndarray, folder: Path, name: str) -> None:
    """Write opensearch.zip and opensearch.json, the body of the request that registers it, to ``folder``.

    Args:
        tokenizer: one that adds no token and decodes each token to its own text.
        weights: of each token, shape (vocabulary,).
    """
    scaled = (weights * min(1.0, MOST / max(weights.max(), LEAST))).clip(LEAST)
    idf = {token: float(scaled[number]) for token, number in sorted(tokenizer.get_vocab().items(), key=itemgetter(1))}
    files = {"tokenizer.json": tokenizer.to_str(), "idf.json": json.dumps(idf, ensure_ascii=False)}
    archive = folder / "opensearch.zip"
    with ZipFile(archive, "w", ZIP_DEFLATED) as zipped:
        for file, content in files.items():
            zipped.writestr(ZipInfo(file), content, ZIP_DEFLATED)  # with a fixed date: same model, same hash
    request = {
        "name": name,
        "version": "1.0.0",
        "function_name": "SPARSE_TOKENIZE",
        "model_format": "TORCH_SCRIPT",
        "model_content_size_in_bytes": archive.stat().st_size,
        "model_content_hash_value": hashlib.sha256(archive.read_bytes()).hexdigest(),
        "url": URL,
    }
    (folder / "opensearch.json").write_text(json.dumps(request, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
