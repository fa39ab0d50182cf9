"""Reads the tables of queries that an evaluation wrote, and pairs the queries of two evaluations.

The table of a set is ``<set>.parquet``; `stages.evaluate.queries.table` has its columns.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from stages.retrieval.scores import NDCG
from stages.retrieval.significance import MODEL
from stages.runtime.errors import UserError

SET, AS_ZERO = "set", "queries_counted_as_zero"
"""Keys of a table's metadata: the name of its set; how many more queries count as 0 in its means, because mteb counts them so."""
SCORE, RANK = f"{MODEL}_{NDCG}", f"{MODEL}_rank"
REQUIRED = {"query_id", "query", SCORE, RANK, "relevant_terms", "top_terms"}

Row = Mapping[str, Any]


@dataclass(frozen=True)
class QueryTable:
    """One set's queries; ``as_zero`` more count as 0 in its means."""

    name: str
    rows: Sequence[Row]
    as_zero: int = 0


@dataclass(frozen=True)
class Paired:
    """The queries that two tables of a set share by id and text, in the order of the first, and how many each has alone."""

    name: str
    first: Sequence[Row]
    second: Sequence[Row]
    as_zero: int
    only_first: int
    only_second: int

    def scores(self) -> tuple[np.ndarray, np.ndarray]:
        """The model's nDCG@10 of each query in the first and in the second table."""
        first, second = (np.array([row[SCORE] for row in rows] + [0.0] * self.as_zero) for rows in (self.first, self.second))
        return first, second


def read_tables(files: Iterable[tuple[str, bytes]]) -> dict[str, QueryTable]:
    """The tables by set, from (name, content) of parquet files; those without the model's run are left out.

    Raises:
        UserError: a file is not a table of queries.
    """
    tables = {}
    for name, content in files:
        try:
            table = pq.read_table(pa.BufferReader(content))
        except pa.ArrowException as error:
            raise UserError(f"{name}: cannot be read as parquet ({error}); run `dvc repro` again") from error
        metadata = table.schema.metadata or {}
        if SET.encode() not in metadata:
            raise UserError(f"{name}: is not a table of queries; name a folder that the evaluate stage wrote")
        if set(table.column_names) >= REQUIRED:
            of_set = metadata[SET.encode()].decode()
            tables[of_set] = QueryTable(of_set, table.to_pylist(), int(metadata.get(AS_ZERO.encode(), b"0")))
    return tables


def pair(first: QueryTable, second: QueryTable) -> Paired:
    """The two tables' common queries; their documents are not compared."""
    of_first, of_second = ({(row["query_id"], row["query"]): row for row in table.rows} for table in (first, second))
    common = [key for key in of_first if key in of_second]
    return Paired(
        first.name,
        [of_first[key] for key in common],
        [of_second[key] for key in common],
        min(first.as_zero, second.as_zero),
        len(of_first) - len(common),
        len(of_second) - len(common),
    )


def margins(row: Row) -> list[tuple[str, float]]:
    """The terms by how far they put the relevant document above the model's first other one (below it, if negative), largest first.

    A term's margin is the product of its two weights for the one document, less that for the other.
    """
    found: dict[str, float] = {}
    for kind, sign in (("relevant_terms", 1), ("top_terms", -1)):
        for term in row[kind] or ():
            found[term["term"]] = found.get(term["term"], 0.0) + sign * term["query"] * term["document"]
    return sorted(((term, margin) for term, margin in found.items() if margin), key=lambda each: -abs(each[1]))
