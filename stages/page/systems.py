"""The systems that the page compares, on the documents of one index: the sparse model, BM25, a dense model, and what they find together."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from scipy.sparse import vstack
from sentence_transformers import SentenceTransformer, SparseEncoder

from stages.engines.identity import model_digest
from stages.engines.index import Index
from stages.evaluate.fusion import fuse
from stages.evaluate.terms import Match, Representation, described, matches, represent
from stages.retrieval.bm25 import Bm25, tokenize
from stages.retrieval.scores import rank
from stages.runtime.files import atomic_write

DEPTH = 100
"""Documents of each system that the hybrid fuses."""


class Found(NamedTuple):
    """A document that a system found: its part that the sparse model scores highest, and the terms that this shares with the query."""

    id: str
    score: float
    text: str
    language: str | None
    matches: list[Match]


class Answer(NamedTuple):
    """The best documents by one system, and the milliseconds it took, without encoding the query in a network."""

    system: str
    found: list[Found]
    milliseconds: float


@dataclass(frozen=True)
class Request:
    """A query, the number of documents wanted, of the query's terms to use (None: all), and the language that documents must have."""

    query: str
    n: int = 10
    terms: int | None = None
    language: str | None = None


class Systems:
    """Loads what is compared; all texts and sparse vectors stay in memory.

    Args:
        dense: a dense model, whose vectors of the documents are kept in the index's folder; None: without.
        dense_folder: where it is.
        told: is told what takes a while.

    Attributes:
        names: of the systems, in their order.
        languages: of the documents.
    """

    def __init__(
        self,
        index: Index,
        model: SparseEncoder,
        dense: SentenceTransformer | None = None,
        dense_folder: Path = Path(),
        told: Callable[[str], None] = print,
    ) -> None:
        self.index, self.model, self._dense = index, model, dense
        parts = [*index.documents.parts()]
        columns = pa.concat_tables([part.table for part in parts])
        self._sparse = vstack([part.vectors for part in parts], format="csr")
        index.engine.search(self._sparse[:1], 1)  # loads it, so that a fault is found before the first query
        self._texts: list[str] = columns["text"].to_pylist()  # of each entry; a document's entries follow each other
        ids = columns["id"].to_numpy()
        self._starts = np.flatnonzero(np.concatenate([[True], ids[1:] != ids[:-1]]))  # the first entry of each document
        self._owners = np.repeat(np.arange(len(self._starts)), np.diff([*self._starts, len(ids)]))  # the document of each entry
        self._ids: list[str] = ids[self._starts].tolist()
        self._places = {identifier: place for place, identifier in enumerate(self._ids)}
        self._spoken: list[str | None] = columns["language"].take(self._starts).to_pylist()
        self.languages = sorted({language for language in self._spoken if language})
        self._stemmed = self.languages[0] if len(self.languages) == 1 else None
        told(f"BM25 of {len(self._ids):,} documents …")
        self._bm25 = Bm25((joined(self._texts[rows.start : rows.stop]) for rows in map(self._rows, range(len(self._ids)))), self._stemmed)
        self._vectors = None if dense is None else dense_vectors(dense, dense_folder, self._texts, index.folder / index.meta.build, told)
        self.names = ["sparse", "BM25", *(["dense"] if dense else []), "hybrid"]

    def represent(self, query: str) -> Representation:
        """The query as the sparse model sees it."""
        return represent(self.model, query, "query")

    def search(self, asked: Request, query: Representation) -> list[Answer]:
        """What every system finds; the hybrid is the fusion of the others by reciprocal rank.

        Args:
            query: what `represent` makes of ``asked.query``.
        """
        if asked.terms is not None:
            query = replace(query, terms=query.terms[: asked.terms])
        finders = {"sparse": self._by_sparse, "BM25": self._by_bm25, "dense": self._by_dense}
        runs: dict[str, tuple[dict[str, float], float]] = {}
        for name in self.names[:-1]:
            start = time.perf_counter()
            runs[name] = finders[name](asked, query), 1000 * (time.perf_counter() - start)
        start = time.perf_counter()
        fused = fuse(*({"": scores} for scores, _ in runs.values())).get("", {})
        runs[self.names[-1]] = fused, 1000 * (time.perf_counter() - start) + sum(milliseconds for _, milliseconds in runs.values())
        return [Answer(name, self._found(scores, asked.n, query), milliseconds) for name, (scores, milliseconds) in runs.items()]

    def _by_sparse(self, asked: Request, query: Representation) -> dict[str, float]:
        vector, wanted = self.index.query({term.dimension: term.weight for term in query.terms}), DEPTH
        while True:
            rows, scores = self.index.engine.search(vector, wanted)
            best: dict[str, float] = {}
            for place, score in zip(self._owners[rows].tolist(), scores.tolist(), strict=True):
                if asked.language in (None, self._spoken[place]):
                    best.setdefault(self._ids[place], score)
            if len(best) >= DEPTH or len(rows) < wanted:
                return dict([*best.items()][:DEPTH])
            wanted *= 4  # windows of the same documents, or documents in other languages, took the places

    def _by_bm25(self, asked: Request, query: Representation) -> dict[str, float]:
        [words] = tokenize([asked.query], self._stemmed)
        return self._best(self._bm25.scores(words), asked.language, above=0.0)

    def _by_dense(self, asked: Request, query: Representation) -> dict[str, float]:
        assert self._dense is not None and self._vectors is not None
        [vector] = self._dense.encode_query([asked.query], normalize_embeddings=True, show_progress_bar=False)
        return self._best(np.maximum.reduceat(self._vectors @ vector, self._starts), asked.language, above=-np.inf)

    def _best(self, scores: np.ndarray, language: str | None, above: float) -> dict[str, float]:
        """The documents with the highest ``scores``, shape (documents,), among those in ``language`` (None: all)."""
        if language is not None:
            scores = np.where([each == language for each in self._spoken], scores, -np.inf)
        order = np.argsort(-scores, kind="stable")[:DEPTH].tolist()
        return {self._ids[place]: float(scores[place]) for place in order if scores[place] > above}

    def _found(self, scores: dict[str, float], n: int, query: Representation) -> list[Found]:
        found = []
        for identifier in rank(scores)[:n]:
            place = self._places[identifier]
            shared = [(row, matches(query, self._described(row))) for row in self._rows(place)]
            best, terms = max(shared, key=lambda each: sum(match.product for match in each[1]))
            found.append(Found(identifier, scores[identifier], self._texts[best], self._spoken[place], terms))
        return found

    def _rows(self, place: int) -> range:
        """The entries of a document."""
        end = self._starts[place + 1] if place + 1 < len(self._starts) else len(self._texts)
        return range(self._starts[place], end)

    def _described(self, row: int) -> Representation:
        """An entry of the index as the sparse model sees it."""
        start, end = self._sparse.indptr[row], self._sparse.indptr[row + 1]
        dimensions, weights = self._sparse.indices[start:end].tolist(), self._sparse.data[start:end].tolist()
        return described(self.model, self._texts[row], "document", self.index.meta.dimensions, dimensions, weights)


def joined(windows: Sequence[str]) -> str:
    """The text that consecutive windows were cut from: without what two of them share.

    >>> joined(["en to tre", "tre fire fem", "seks"])
    'en to tre fire fem seks'
    """
    text = windows[0]
    for window in windows[1:]:
        shared = next((length for length in range(min(len(text), len(window)), 0, -1) if text.endswith(window[:length])), 0)
        text += window[shared:] if shared else f" {window}"
    return text


def dense_vectors(model: SentenceTransformer, folder: Path, texts: Sequence[str], kept: Path, told: Callable[[str], None]) -> np.ndarray:
    """The unit vectors of the entries' texts by a dense model, shape (entries, dimensions), from ``kept`` if they are there."""
    path = kept / f"dense-{model_digest(folder)[:16]}.npy"
    if path.is_file():
        found: np.ndarray = np.load(path, mmap_mode="r")
        return found
    told(f"Encoding {len(texts):,} texts with {folder}, once …")
    vectors: np.ndarray = model.encode_document([*texts], normalize_embeddings=True, show_progress_bar=True)
    with atomic_write(path) as temporary, temporary.open("wb") as file:
        np.save(file, vectors)
    return vectors
