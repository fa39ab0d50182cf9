"""How well documents answer queries, by a model to learn from: a cross-encoder, or a dense or sparse encoder.

A student sees a long document in windows, and so does its teacher: the best window's score is the document's. Windows are counted in the
teacher's tokens, as many as the student's have in its own; if the student cuts documents, its teacher sees their first window.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
from sentence_transformers import CrossEncoder, SentenceTransformer, SparseEncoder

from stages.retrieval.treatment import Treatment
from stages.retrieval.vectors import encode
from stages.retrieval.windows import Windows

Pair: TypeAlias = tuple[str, str]
Score: TypeAlias = Callable[[Sequence[Pair]], np.ndarray]
"""Pairs of a query and a document → their scores, float64, shape (pairs,); NaN where the model has none."""
AT_ONCE = 16_384  # pairs compared at a time


class Teacher(ABC):
    """Scores pairs of a query and a document.

    Args:
        model: of sentence-transformers.
        treatment: how the student sees long documents; its ``window`` is set.

    Attributes:
        portion: pairs to score in one call, so that little is lost if mining is interrupted.
    """

    portion: int

    def __init__(self, model: Any, treatment: Treatment) -> None:
        self._model = model
        self._windows = Windows.of(model, Treatment("max_score", treatment.window, treatment.overlap))
        self._cut = treatment.long_documents == "cut"

    def __call__(self, pairs: Sequence[Pair]) -> np.ndarray:
        """The scores of the pairs; there must be one."""
        queries, documents = (list(dict.fromkeys(texts)) for texts in zip(*pairs, strict=True))
        places = [{text: place for place, text in enumerate(texts)} for texts in (queries, documents)]
        numbers = np.array([[place[text] for place, text in zip(places, pair, strict=True)] for pair in pairs])
        parts = self._windows.split(documents) if self._windows else [[document] for document in documents]
        parts = [windows[:1] for windows in parts] if self._cut else parts
        counts = np.array([len(windows) for windows in parts])
        first = np.cumsum(counts) - counts
        compare = self._comparison(queries, [window for windows in parts for window in windows])
        scores = []
        for asked, found in (numbers[start : start + AT_ONCE].T for start in range(0, len(numbers), AT_ONCE)):
            starts = np.cumsum(counts[found]) - counts[found]
            windows_of_pairs = np.arange(counts[found].sum()) + np.repeat(first[found] - starts, counts[found])
            scores.append(np.maximum.reduceat(compare(np.repeat(asked, counts[found]), windows_of_pairs), starts))
        return np.concatenate(scores).astype(np.float64)

    @abstractmethod
    def _comparison(self, queries: list[str], windows: list[str]) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
        """What gives the scores of pairs from the places of their queries and windows."""


class CrossEncoderTeacher(Teacher):
    """The raw scores (logits) of a cross-encoder with one output: their differences are learned, and a sigmoid would shrink them."""

    portion = AT_ONCE

    def _comparison(self, queries: list[str], windows: list[str]) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
        def compare(asked: np.ndarray, found: np.ndarray) -> np.ndarray:
            pairs = [(queries[query], windows[window]) for query, window in zip(asked.tolist(), found.tolist(), strict=True)]
            scores = self._model.predict(pairs, activation_fn=torch.nn.Identity(), show_progress_bar=False)
            return np.asarray(scores, dtype=np.float64).reshape(len(pairs))

        return compare


class EncoderTeacher(Teacher):
    """Similarities of a dense or sparse encoder, with its own prompts; each text is encoded once in a call."""

    portion = 2**30

    def _comparison(self, queries: list[str], windows: list[str]) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
        if isinstance(self._model, SparseEncoder):
            rows, columns = encode(self._model, queries, "query"), encode(self._model, windows, "document")
            return lambda asked, found: np.asarray(rows[asked].multiply(columns[found]).sum(axis=1)).ravel()
        vectors = [
            torch.from_numpy(encode(texts, show_progress_bar=False)).float()
            for encode, texts in ((self._model.encode_query, queries), (self._model.encode_document, windows))
        ]
        return lambda asked, found: self._model.similarity_pairwise(vectors[0][asked], vectors[1][found]).numpy()


def teacher(model: CrossEncoder | SentenceTransformer | SparseEncoder, treatment: Treatment) -> Teacher:
    """The teacher that ``model`` is."""
    return (CrossEncoderTeacher if isinstance(model, CrossEncoder) else EncoderTeacher)(model, treatment)
