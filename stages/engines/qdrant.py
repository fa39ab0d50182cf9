"""Qdrant inside this process (qdrant-edge-py): the storage and inverted index of the server without one.

https://qdrant.tech/documentation/edge/. Exact scores of float32 weights; a copy of every vector beside the inverted index, which takes disk
space. Two processes may search one index at a time.
"""

import shutil
from collections.abc import Callable
from functools import cached_property
from itertools import pairwise

import numpy as np
from qdrant_edge import EdgeConfig, EdgeShard, EdgeSparseVectorParams, Point, Query, QueryRequest, SparseVector, UpdateOperation
from scipy.sparse import csr_array

from stages.engines.engine import Place
from stages.runtime.errors import UserError

VECTOR = "text"
COPIES = 3
"""Bytes on disk for each byte of the vectors, at most, with what merging needs."""


class Qdrant:
    """A shard in a folder; point ids are row numbers.

    Attributes:
        spare: bytes that must stay free on the disk: Qdrant writes to mapped files, and the system ends a process whose mapped file
            does not fit any more, without a word.
    """

    spare = 64 * 2**20

    def __init__(self, place: Place) -> None:
        self._place = place

    def write(self, sent: Callable[[int], None]) -> None:
        shutil.rmtree(self._place.folder, ignore_errors=True)  # one that was not finished
        self._place.folder.mkdir(parents=True)
        # without a log of updates: an index that is not finished is written again
        config = EdgeConfig(vectors={}, sparse_vectors={VECTOR: EdgeSparseVectorParams()}, wal_enabled=False)
        try:
            shard = EdgeShard.create(str(self._place.folder), config)
            written = 0
            for part in self._place.parts():
                written += COPIES * (part.vectors.data.nbytes + part.vectors.indices.nbytes)
                self._require_room(written)  # merging the segments writes all of it once more
                shard.update(UpdateOperation.upsert_points(_points(part.first, part.vectors)))
                sent(part.first + part.vectors.shape[0])
            shard.optimize()
            shard.flush()
            shard.close()
        except Exception as error:  # what the package raises, whatever happened
            if "os error" not in str(error):
                raise
            remedy = "make room, or make it writable, and run the same command again"
            raise UserError(f"{self._place.folder}: Qdrant cannot write its index ({error}); {remedy}") from error

    def _require_room(self, wanted: int) -> None:
        free = shutil.disk_usage(self._place.folder).free
        if free < wanted + self.spare:
            sizes = f"{free / 2**20:,.0f} MB are free, and Qdrant may need {(wanted + self.spare) / 2**20:,.0f}"
            raise UserError(f"{self._place.folder}: {sizes}; make room, and run the same command again")

    def publish(self) -> None:
        """Nothing."""

    def remove(self) -> None:
        shutil.rmtree(self._place.folder, ignore_errors=True)

    def search(self, query: csr_array, n: int) -> tuple[np.ndarray, np.ndarray]:
        if not query.nnz or not n:
            return np.empty(0, np.int64), np.empty(0, np.float32)
        nearest = Query.Nearest(SparseVector(query.indices.tolist(), query.data.tolist()), using=VECTOR)
        found = self._shard.query(QueryRequest(query=nearest, limit=n))
        return np.array([point.id for point in found], np.int64), np.array([point.score for point in found], np.float32)

    @cached_property
    def _shard(self) -> EdgeShard:
        try:
            return EdgeShard.load(str(self._place.folder))
        except Exception as error:  # what the package raises, whatever happened
            remedy = "delete this folder and run the same `nordic-sparse index` again: it keeps the encoded documents"
            raise UserError(f"{self._place.folder}: Qdrant cannot read its index ({error}); {remedy}") from error


def _points(first: int, vectors: csr_array) -> list[Point]:
    ends = vectors.indptr.tolist()
    indices, values = vectors.indices.tolist(), vectors.data.tolist()
    return [
        Point(first + row, {VECTOR: SparseVector(indices[start:end], values[start:end])}, {})
        for row, (start, end) in enumerate(pairwise(ends))
    ]
