"""The queries that the model gained and lost most against the better BM25, from metrics/queries/*.parquet."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from stages.evaluate.query_tables import RANK, SCORE
from stages.evaluate.significance import BASELINES
from stages.report.highlight import find, highlighted
from stages.runtime.errors import UserError

SHOWN = 10


@dataclass(frozen=True)
class Count:
    """How often the model is better than, equal to and worse than the baseline on one set."""

    set_name: str
    queries: int
    baseline: str
    wins: int
    ties: int
    losses: int


@dataclass(frozen=True)
class Query:
    """A query, for the page: ``values`` is its row in the file; ``baseline`` the system that the model is compared with."""

    set_name: str
    baseline: str
    difference: float
    values: Mapping[str, Any]

    @property
    def scores(self) -> tuple[float, float]:
        """nDCG@10 of the model and of the baseline."""
        return self.values[SCORE], self.values[f"{self.baseline}_ndcg@10"]

    @property
    def ranks(self) -> tuple[int | None, int | None]:
        """Rank of the first relevant document for the model and for the baseline; None if neither of 100 is."""
        return self.values[RANK], self.values[f"{self.baseline}_rank"]

    @property
    def language(self) -> str | None:
        value: str | None = self.values.get("language")
        return value

    def text(self, side: str) -> list[tuple[str, bool]]:
        """The parts of the "query", the "relevant" or the "top" document, with whether a shared term covers them."""
        lists = ("relevant_terms", "top_terms") if side == "query" else (f"{side}_terms",)
        text = self.values[side] or ""
        return highlighted(text, find(text, [term["term"] for name in lists for term in self.values[name] or ()]))

    def terms(self, side: str) -> list[dict[str, Any]]:
        """The terms that the query shares with the "relevant" or "top" document: weights, product and, if neither text has it, a note."""
        found = self.values[f"{side}_terms"] or ()
        names = [term["term"] for term in found]
        texts = {of: find(text, names) for of, text in (("query", self.values["query"]), ("document", self.values[side] or ""))}
        latent = any(name.startswith("latent ") for name in names)  # has no word of its own
        lines = []
        for term in found:
            absent = [] if latent else [of for of, places in texts.items() if term["term"] not in places]
            note = f"not in the {absent[0]}" if len(absent) == 1 else "in neither text" if absent else ""
            lines.append({**term, "product": term["query"] * term["document"], "note": note})
        return lines


def read_queries(folder: Path, names: Sequence[str]) -> tuple[list[Count], list[Query], list[Query]]:
    """Counts by set, then the `SHOWN` queries gained most and lost most over all sets, of the files that there are."""
    counts, queries = [], []
    for name in names:
        path = folder / f"{name.replace('/', '__')}.parquet"
        if not path.is_file():
            continue
        try:
            table = pq.ParquetFile(path).read()
        except (pa.ArrowException, OSError) as error:
            raise UserError(f"{path}: is not a complete parquet file; delete it and run `dvc repro`") from error
        means = {system: _mean(table, f"{system}_ndcg@10") for system in BASELINES if f"{system}_ndcg@10" in table.column_names}
        if not means or not table.num_rows or SCORE not in table.column_names:
            continue
        baseline = max(means, key=lambda system: means[system])
        differences = np.nan_to_num(_values(table, SCORE) - _values(table, f"{baseline}_ndcg@10"))
        wins, losses = int((differences > 0).sum()), int((differences < 0).sum())
        counts.append(Count(name, len(differences), baseline, wins, len(differences) - wins - losses, losses))
        order = np.argsort(-differences, kind="stable")
        chosen = list(dict.fromkeys([*order[:SHOWN].tolist(), *order[::-1][:SHOWN].tolist()]))
        rows = table.take(chosen).to_pylist()
        queries += [Query(name, baseline, float(differences[place]), row) for place, row in zip(chosen, rows, strict=True)]
    gained = sorted((query for query in queries if query.difference > 0), key=lambda query: -query.difference)
    lost = sorted((query for query in queries if query.difference < 0), key=lambda query: query.difference)
    return counts, gained[:SHOWN], lost[:SHOWN]


def _values(table: pa.Table, column: str) -> np.ndarray:
    return np.asarray(table[column].to_numpy(zero_copy_only=False), dtype=float)


def _mean(table: pa.Table, column: str) -> float:
    values = _values(table, column)
    return float(np.nanmean(values)) if len(values) else 0.0
