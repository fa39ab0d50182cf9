"""What needs no training, for `recipes.py`: a dense model's search in windows, and the csr control, its vectors made sparse."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import csr_array


def vectors(folder: Path, work: Path, dense: Path, length: int) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """The dense model's unit vectors: of all queries by id, of the documents' windows, and the first window of each document, then their
    number. Windows have ``length`` tokens. Encoded once: ``work`` keeps them."""
    from stages.retrieval.beir import read_documents, read_queries
    from stages.retrieval.sets import _corpus
    from stages.retrieval.treatment import Treatment
    from stages.retrieval.windows import Windows

    queries = read_queries(folder / "queries.jsonl")
    kept = work / f"{dense.name}.npz"
    if not kept.exists():
        from sentence_transformers import SentenceTransformer

        model: Any = SentenceTransformer(str(dense), local_files_only=True)
        corpus = list(_corpus(read_documents(folder / "corpus.jsonl"), queries)[0].values())
        windows = Windows.of(model, Treatment("max_score", length, length // 5))
        parts = windows.split(corpus) if windows else [[text] for text in corpus]
        arrays = {
            "queries": model.encode_query(list(queries.values()), normalize_embeddings=True),
            "documents": model.encode_document([window for part in parts for window in part], normalize_embeddings=True),
            "starts": np.cumsum([0, *map(len, parts)]),
        }
        kept.parent.mkdir(parents=True, exist_ok=True)
        np.savez(temporary := kept.with_suffix(".tmp.npz"), **arrays)
        temporary.replace(kept)
    with np.load(kept) as found:
        return dict(zip(queries, found["queries"], strict=True)), found["documents"], found["starts"]


def control(fitted: np.ndarray) -> Callable[[np.ndarray, int], csr_array]:
    """Vectors made sparse without training: principal axes of ``fitted``, each divided by the root of its deviation; their positive and
    negative parts are the latents, of which the k largest stay."""
    mean = fitted.mean(axis=0)
    _, deviations, axes = np.linalg.svd(fitted - mean, full_matrices=False)
    whitened = axes.T / np.sqrt(np.maximum(deviations, 1e-6))

    def codes(dense: np.ndarray, k: int) -> csr_array:
        signed = (dense - mean) @ whitened
        signed /= np.linalg.norm(signed, axis=1, keepdims=True)
        latents = np.maximum(np.concatenate([signed, -signed], axis=1), 0)
        latents[latents < np.partition(latents, -k, axis=1)[:, [-k]]] = 0
        return csr_array(latents.astype(np.float32))

    return codes
