"""The table of graded product searches: every system with nDCG@10 and the recalls, full and condensed."""

from collections.abc import Mapping, Sequence
from typing import Any

from stages.evaluate.graded import CONDENSED, recall_name
from stages.retrieval.scores import CUT, MODEL, NDCG, RECALL_CUT, metric_of

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
    "model": MODEL,
    "compare_model": "compare",
    "BM25": "bm25",
    "BM25, stemmed": "bm25_stemmed",
    "dense": "dense",
}
"""What the table calls each system."""


def product_rows(sets: Mapping[str, Mapping[str, Any]]) -> Sequence[Sequence[str]]:
    """The cells of the table with its header, one row for each system of each set; empty if no set has the recall of exact products."""
    rows = [
        [name, title, *(f"{row[key]:.3f}" if key in row else "–" for key in (metric_of(system, metric) for metric in COLUMNS.values()))]
        for name, row in sets.items()
        for title, system in SYSTEMS.items()
        if metric_of(system, COLUMNS["recall E@10"]) in row
    ]
    return [["products", "system", *map(str.strip, COLUMNS)], *rows] if rows else []
