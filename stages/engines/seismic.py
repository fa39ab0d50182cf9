"""Seismic: an approximate inverted index in memory, the fastest at high recall.

Bruch, Nardini, Rulli and Venturini, "Efficient Inverted Indexes for Approximate Retrieval over Learned Sparse Representations" (SIGIR 2024,
https://arxiv.org/abs/2404.18812). Gives up exact results: on the sample's 7,253 documents 1.6% of the ten best are others than those of
exact search, .7% if only their scores count. Weights are 16-bit floats. The whole index is in memory, and while it is built twice.
"""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import seismic
from scipy.sparse import csr_array

from stages.engines.engine import Place
from stages.runtime.errors import UserError
from stages.runtime.files import remove

SMALL = 2**16
"""Dimensions above which components need more than 16 bits, and the classes whose names end in LV."""
NAME, SUFFIX = "index", ".index.seismic"


class Seismic:
    """A file of Seismic's own; document ids are row numbers.

    Attributes:
        query_cut: the number of a query's largest weights whose posting lists are read.
        heap_factor: a block of documents is skipped if its summary's score is below the worst result's times this; 0 skips none.
        summary_energy: the share of a block's weights that its summary keeps. Short documents need more than Seismic's own .4, with
            which 29% of the ten best are others than those of exact search; see docs/log.md.
    """

    query_cut, heap_factor, summary_energy = 32, 0.9, 0.9

    def __init__(self, place: Place) -> None:
        self._place = place
        self._path = place.folder / NAME
        ending = "" if place.dimensions < SMALL else "LV"
        self._dataset, self._index = getattr(seismic, f"SeismicDataset{ending}"), getattr(seismic, f"SeismicIndex{ending}")

    def write(self, sent: Callable[[int], None]) -> None:
        self.remove()
        self._place.folder.mkdir(parents=True)
        dataset = self._dataset()
        for part in self._place.parts():
            vectors, last = part.vectors, part.first + part.vectors.shape[0]
            rows = [str(row) for row in range(part.first, last)]
            dataset.add_documents_by_id(rows, vectors.indices.astype(np.int64), vectors.data, vectors.indptr.astype(np.int64))
            sent(last)
        try:
            with _silent():
                self._index.build_from_dataset(dataset, summary_energy=self.summary_energy).save(str(self._path))
        except OSError as error:
            raise UserError(f"{self._place.folder}: Seismic cannot write its index ({error}); make room and try again") from error

    def publish(self) -> None:
        """Nothing."""

    def remove(self) -> None:
        remove(self._place.folder)

    def search(self, query: csr_array, n: int) -> tuple[np.ndarray, np.ndarray]:
        if not query.nnz or not n:
            return np.empty(0, np.int64), np.empty(0, np.float32)
        components = query.indices.astype(str).astype(seismic.get_seismic_string())
        found = self._searcher.search("", components, query.data, n, self.query_cut, self.heap_factor)
        return np.array([int(row) for _, _, row in found], np.int64), np.array([score for _, score, _ in found], np.float32)

    @cached_property
    def _searcher(self) -> Any:
        try:
            return self._index.load(str(Path(f"{self._path}{SUFFIX}")))
        except Exception as error:  # what the package raises, whatever happened
            remedy = "delete this folder and run the same `nordic-sparse index` again: it keeps the encoded documents"
            raise UserError(f"{self._place.folder}: Seismic cannot read its index ({error}); {remedy}") from error


@contextmanager
def _silent() -> Iterator[None]:
    """Without stdout, on which Seismic prints its settings and times; it is not Python's, so that contextlib cannot redirect it."""
    sys.stdout.flush()
    kept, nowhere = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    try:
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nowhere)
