"""The queries of an inference-free model without torch: a folder with tokenizer, weights and the code that reads them.

encode.py         the encoder, to run or to translate
query.json        tokenizer and settings: prompt, longest query, most dimensions
weights.npy       the weight of each token, float32
tokenizer.json    for the `tokenizers` package, if the tokenizer is not a WordPiece that encode.py can be written for without it
opensearch.zip, opensearch.json    a tokenizer model for OpenSearch, and the request that registers it (`opensearch`)
"""

import json
import shutil
from io import BytesIO
from pathlib import Path
from typing import Any, cast

import numpy as np
from sentence_transformers import SparseEncoder
from sentence_transformers.base.modules import Router
from sentence_transformers.sparse_encoder.modules import SparseStaticEmbedding
from tokenizers import Tokenizer

from stages.export import opensearch
from stages.export.wordpiece import plain
from stages.runtime.errors import UserError

UNLIMITED = 10**9  # transformers' length of a tokenizer without one is above


def write(model: SparseEncoder, folder: Path, name: str, max_dims: int | None) -> str:
    """Write the export to ``folder``, which must exist; returns what it needs to run, in words.

    Args:
        name: of the model, for OpenSearch.
        max_dims: keep this many of a query's largest weights; None: all.

    Raises:
        UserError: queries go through a network, the tokenizer cannot be written, or a weight is not a number.
    """
    query = static_query(model)
    weights = query.weight.detach().cpu().float().numpy()
    if not np.isfinite(weights).all():
        raise UserError(f"{name}: query weights must be finite, got NaN or infinity; train it again with a lower learning rate")
    # the module adds no special tokens; without a decoder OpenSearch sees each token as the vocabulary has it
    description = tokenizer_json(query.tokenizer) | {"post_processor": None, "decoder": None}
    tokenizer = Tokenizer.from_str(json.dumps(description))
    tables = plain(tokenizer, description)
    prompt = model.prompts.get("query") or ""
    max_tokens = description["truncation"] and description["truncation"]["max_length"]
    settings = {"prompt": prompt, "max_tokens": max_tokens, "max_dims": max_dims, **(tables or {})}
    (folder / "query.json").write_text(json.dumps(settings, ensure_ascii=False, indent=1), encoding="utf-8")
    (folder / "weights.npy").write_bytes(_npy(weights))
    if tables is None:
        (folder / "tokenizer.json").write_text(tokenizer.to_str(), encoding="utf-8")
    code = "encode_wordpiece.py" if tables else "encode_tokenizers.py"
    shutil.copyfile(Path(__file__).with_name(code), folder / "encode.py")
    opensearch.write(tokenizer, weights, folder, name)
    if tables:
        return "Python and numpy"
    return f"Python, numpy and tokenizers: this {description['model']['type']} is not a WordPiece that numpy alone serves"


def static_query(model: SparseEncoder) -> SparseStaticEmbedding:
    """The module that looks up the weights of a query's tokens.

    Raises:
        UserError: there is none.
    """
    router = model[0]
    route = [*router.sub_modules["query"].children()] if isinstance(router, Router) and "query" in router.sub_modules else []
    if len(model) != 1 or len(route) != 1 or not isinstance(route[0], SparseStaticEmbedding):
        raise UserError("--query-encoder: needs an inference-free model, got one whose queries go through a network; use --onnx")
    return route[0]


def _npy(array: np.ndarray) -> bytes:
    """The content of a .npy file; `np.save` to a full disk raises an error without a number."""
    buffer = BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def tokenizer_json(tokenizer: Any) -> dict[str, Any]:
    """The content of a tokenizer.json that cuts texts at the length of the transformers' ``tokenizer``, and does not pad.

    Raises:
        UserError: it is one of those that have no such file.
    """
    fast = getattr(tokenizer, "backend_tokenizer", None)
    if fast is None:
        raise UserError(f"the tokenizer {type(tokenizer).__name__} has no tokenizer.json; train on a base model that has one")
    description = cast(dict[str, Any], json.loads(fast.to_str()))
    length = tokenizer.model_max_length
    cut = {"direction": "Right", "max_length": length, "strategy": "LongestFirst", "stride": 0}
    return description | {"truncation": cut if length < UNLIMITED else None, "padding": None}
