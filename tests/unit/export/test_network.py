"""The ONNX network: the model's own vectors for every length of text, and one-line errors."""

import sys
from pathlib import Path

import numpy as np
import pytest
from sentence_transformers import SparseEncoder

from stages.export.network import TOLERANCE, write
from stages.retrieval.pruning import Ranked
from stages.retrieval.vectors import encode
from tests import tiny_models
from tests.refused import refused
from tests.unit.export.conftest import all_texts
from tests.unit.export.test_query_encoder import encoder_of


def tiny(folder: Path, architecture: str) -> SparseEncoder:
    return SparseEncoder(str(tiny_models.save(folder / architecture, architecture)), device="cpu")


def weights_of(model: SparseEncoder, folder: Path, texts: tuple[str, ...], max_dims: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Dense vectors of the model and of the export in ``folder``."""
    encoder, vectors = encoder_of(folder), encode(model, texts, "query")
    if max_dims is not None:
        vectors = Ranked(vectors).top(max_dims)
    made = np.zeros(vectors.shape, np.float32)
    for row, text in zip(made, texts, strict=True):
        ids, weights = encoder(text)
        row[ids] = weights
    return vectors.toarray(), made


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["splade", "csr"])
def test_vectors_are_the_models(architecture: str, tmp_path: Path) -> None:
    model = tiny(tmp_path, architecture)
    model.prompts["query"] = "query: "
    write(model, tmp_path, max_dims=5, int8=False)
    expected, made = weights_of(model, tmp_path, tuple(all_texts()[::10]), 5)
    assert np.abs(expected - made).max() < TOLERANCE and (np.count_nonzero(made, axis=1) <= 5).all() and made.any()


@pytest.mark.slow
def test_int8_is_smaller_and_near(tmp_path: Path) -> None:
    model, sizes = tiny(tmp_path, "splade"), []
    for int8 in (False, True):
        write(model, tmp_path, None, int8)
        sizes.append((tmp_path / "model.onnx").stat().st_size)
    expected, made = weights_of(model, tmp_path, tuple(all_texts()[::100]))
    cosines = (expected * made).sum(1) / (np.linalg.norm(expected, axis=1) * np.linalg.norm(made, axis=1)).clip(1e-9)
    assert sizes[1] < sizes[0] and cosines.mean() > 0.95


def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for package in ("onnxruntime", "onnxscript"):
        monkeypatch.setitem(sys.modules, package, None)
    with refused("--onnx … onnx … nordic-sparse[onnx]"):
        write(tiny(tmp_path, "splade"), tmp_path, None, False)


@pytest.mark.slow
def test_an_inference_free_model_is_refused(tmp_path: Path) -> None:
    with refused("--onnx … inference-free … --query-encoder"):
        write(tiny(tmp_path, "inference-free-splade"), tmp_path, None, False)
