"""What every engine must do: find what exact search finds, with its scores."""

from pathlib import Path

import numpy as np
import pytest
from sentence_transformers import SparseEncoder

from stages.engines.build import Model, build
from stages.engines.index import Index, open_index
from stages.engines.sources import Source
from stages.retrieval.vectors import encode

QUERIES = ["øl", "hva er kl. 7?", "biblioteker i Bodø", "återvinningscentralen"]


def agrees_with_exact(folder: Path, source: Source, model: Model, encoder: SparseEncoder, *engine: str, error: float = 1e-5) -> Index:
    """Build an index with ``engine`` (its name, address and alias) and compare its results with exact ones; returns the index."""
    build(folder / "exact", source, model, "parquet")
    exact = open_index(folder / "exact")
    build(folder / "index", source, model, *engine)
    index = open_index(folder / "index")
    for query in encode(encoder, QUERIES, "query"):
        query = query.reshape(1, -1).tocsr()
        expected, hits = exact.search(query, 5), index.search(query, 5)
        assert len(hits) == 5
        assert [hit.score for hit in hits] == pytest.approx([hit.score for hit in expected], rel=error)
        scores = {hit.entry.id: hit.score for hit in exact.search(query, 100)}
        assert [scores[hit.entry.id] for hit in hits] == pytest.approx([hit.score for hit in hits], rel=error)
    nothing = query[:, [0] * query.shape[1]] * 0
    nothing.eliminate_zeros()
    assert [len(each) for each in index.engine.search(nothing, 5)] == [0, 0]
    assert np.all(index.engine.search(query, 5)[0] >= 0)
    return index
