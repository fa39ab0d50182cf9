"""The table of graded product searches: every system with nDCG@10 and the recalls, full and condensed."""

from collections.abc import Mapping, Sequence
from typing import Any

from stages.retrieval.graded import CONDENSED, recall_name
from stages.retrieval.scores import CUT, NDCG, RECALL_CUT

COLUMNS = {
    "nDCG@10": NDCG,
    "condensed": f"{NDCG}{CONDENSED}",
    "recall E@10": recall_name("exact", CUT),
    "condensed ": f"{recall_name('exact', CUT)}{CONDENSED}",
    "E@100": recall_name("exact", RECALL_CUT),
    "recall E+S@10": recall_name("exact_substitute", CUT),
    "condensed  ": f"{recall_name('exact_substitute', CUT)}{CONDENSED}",
    "E+S@100": recall_name("exact_substitute", RECALL_CUT),
}
SYSTEMS = {
    "model": "",
    "compare_model": "compare_",
    "BM25": "bm25_",
    "BM25, stemmed": "bm25_stemmed_",
    "dense": "dense_",
}
"""Name of a system → the prefix of its metrics."""


def product_rows(sets: Mapping[str, Mapping[str, Any]]) -> Sequence[Sequence[str]]:
    """The cells of the table with its header, one row for each system of each set; empty if no set has the recall of exact products."""
    rows = [
        [name, system, *(f"{row[prefix + metric]:.3f}" if prefix + metric in row else "–" for metric in COLUMNS.values())]
        for name, row in sets.items()
        for system, prefix in SYSTEMS.items()
        if f"{prefix}{COLUMNS['recall E@10']}" in row
    ]
    return [["products", "system", *map(str.strip, COLUMNS)], *rows] if rows else []
