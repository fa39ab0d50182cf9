"""The exported query encoder: the model's own vectors, for thousands of texts, from files that need no torch."""

import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sentence_transformers import SparseEncoder
from sentence_transformers.sparse_encoder.modules import SparseStaticEmbedding

from stages.export.query_encoder import static_query, write
from stages.retrieval.pruning import Ranked
from stages.retrieval.vectors import encode
from tests import tiny_models
from tests.refused import refused
from tests.unit.export.conftest import OTHERS, WORDPIECE, Make, all_texts, inference_free


def exported(model: SparseEncoder, folder: Path, max_dims: int | None = None) -> Any:
    """The encoder of an export, from its own encode.py."""
    write(model, folder, "model", max_dims)
    return encoder_of(folder)


def encoder_of(folder: Path) -> Any:
    spec = spec_from_file_location("encode", folder / "encode.py")
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.QueryEncoder(folder)


def expected(model: SparseEncoder, texts: tuple[str, ...], max_dims: int | None = None) -> list[tuple[list[int], list[float]]]:
    matrix = encode(model, texts, "query", batch_size=256)
    matrix.sort_indices()
    if max_dims is not None:
        matrix = Ranked(matrix).top(max_dims)
    return [(matrix[[row]].indices.tolist(), matrix[[row]].data.tolist()) for row in range(len(texts))]


@pytest.mark.parametrize("make", [*WORDPIECE, *OTHERS])
def test_vectors_are_the_models(make: Make, tmp_path: Path) -> None:
    model, texts = inference_free(make), all_texts()
    encoder = exported(model, tmp_path)
    different = [
        text
        for text, (ids, weights) in zip(texts, expected(model, texts), strict=True)
        if (got := encoder(text))[0].tolist() != ids or got[1].tolist() != weights
    ]
    assert not different, f"{len(different)} of {len(texts)}, such as {different[0]!r}"


@pytest.mark.parametrize("make", [WORDPIECE[0], OTHERS[0]])
def test_prompt_and_pruning_are_applied(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, texts = inference_free(make), all_texts()[::100]
    monkeypatch.setitem(model.prompts, "query", "spørsmål: ")
    encoder = exported(model, tmp_path, max_dims=3)
    assert [(ids.tolist(), weights.tolist()) for ids, weights in map(encoder, texts)] == expected(model, texts, 3)


def test_equal_weights_are_pruned_in_the_order_of_dimensions(tiny: SparseEncoder, tmp_path: Path) -> None:
    texts = all_texts()[::200]
    encoder = exported(tiny, tmp_path, max_dims=4)
    assert [(ids.tolist(), weights.tolist()) for ids, weights in map(encoder, texts)] == expected(tiny, texts, 4)


def test_it_runs_without_any_package_but_numpy(tiny: SparseEncoder, tmp_path: Path) -> None:
    write(tiny, tmp_path, "model", None)
    code = (
        "import sys; sys.argv = ['encode.py', 'Åpner badet?']; import runpy; runpy.run_path('encode.py', run_name='__main__');"
        "print(sorted({name.split('.')[0] for name in sys.modules} & {'torch', 'tokenizers', 'transformers', 'stages', 'scipy'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    *terms, imported = done.stdout.splitlines()
    assert imported == "[]"
    assert len(terms) > 2 and all(float(term.split("\t")[1]) > 0 for term in terms)


@pytest.mark.parametrize(("make", "pins"), [(WORDPIECE[0], "Python and numpy"), (OTHERS[1], "tokenizers … Unigram … WordPiece")])
def test_it_says_what_it_needs(make: Make, pins: str, tmp_path: Path) -> None:
    said = write(inference_free(make), tmp_path, "model", None)
    assert all(pin in said for pin in pins.split(" … ")) and "\n" not in said
    assert (tmp_path / "tokenizer.json").exists() == ("tokenizers" in said)


def test_a_token_added_later_needs_the_package(tiny: SparseEncoder, tmp_path: Path) -> None:
    """It is looked for in the normalised text, which the tables cannot tell apart."""
    tiny[0].sub_modules["query"][0].tokenizer.add_tokens(["<unused_0>"])
    tokenizer = tiny[0].sub_modules["query"][0].tokenizer
    weights = tiny[0].sub_modules["query"][0].weight.data.new_ones(len(tokenizer))
    tiny[0].sub_modules["query"][0] = SparseStaticEmbedding(tokenizer=tokenizer, weight=weights)
    assert "tokenizers" in write(tiny, tmp_path, "model", None)
    texts = ("a <UNUSED_0> b", "<unused_0>")
    assert [(ids.tolist(), weights.tolist()) for ids, weights in map(encoder_of(tmp_path), texts)] == expected(tiny, texts)


def test_a_weight_that_is_not_a_number_is_refused(tiny: SparseEncoder, tmp_path: Path) -> None:
    static_query(tiny).weight.data[7] = np.nan
    with refused("model: query weights must be finite … NaN"):
        write(tiny, tmp_path, "model", None)


@pytest.mark.parametrize("architecture", ["splade", "csr"])
def test_queries_of_a_network_are_refused(architecture: str, tmp_path: Path) -> None:
    model = SparseEncoder(str(tiny_models.save(tmp_path / "model", architecture)), device="cpu")
    with refused("--query-encoder … inference-free … --onnx"):
        write(model, tmp_path, "model", None)
