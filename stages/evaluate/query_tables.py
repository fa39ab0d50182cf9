"""Reads the tables of queries that an evaluation wrote, and pairs the queries of two evaluations.

The table of a set is ``<set>.parquet``; `stages.evaluate.query_files.table` has its columns.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from stages.retrieval.scores import MODEL, NDCG
from stages.runtime.errors import UserError

SET, DOCUMENTS, AS_ZERO = "set", "documents", "queries_counted_as_zero"
"""Keys of a table's metadata: its set's name and number of documents; how many more queries count as 0 in its means, as in mteb."""
SCORE, RANK = f"{MODEL}_{NDCG}", f"{MODEL}_rank"
REQUIRED = {"query_id", "query", SCORE, RANK, "relevant_terms", "top_terms"}

Row = Mapping[str, Any]


@dataclass(frozen=True)
class QueryTable:
    """One set's queries and number of documents; ``as_zero`` more queries count as 0 in its means."""

    name: str
    rows: Sequence[Row]
    documents: int
    as_zero: int = 0


@dataclass(frozen=True)
class Paired:
    """The queries that two tables of a set share by id and text, in the order of the first.

    Attributes:
        as_zero: how many more count as 0 in the means.
        only_first, only_second: number of queries that one table has alone.
        documents: number of documents of the first and of the second.
    """

    name: str
    first: Sequence[Row]
    second: Sequence[Row]
    as_zero: int
    only_first: int
    only_second: int
    documents: tuple[int, int]

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
        if not {key.encode() for key in (SET, DOCUMENTS, AS_ZERO)} <= metadata.keys():
            raise UserError(f"{name}: is not a table of queries; name a folder that the evaluate stage of this version wrote")
        if set(table.column_names) >= REQUIRED:
            of_set = metadata[SET.encode()].decode()
            documents, as_zero = (int(metadata[key.encode()]) for key in (DOCUMENTS, AS_ZERO))
            tables[of_set] = QueryTable(of_set, table.to_pylist(), documents, as_zero)
    return tables


def pair(first: QueryTable, second: QueryTable) -> Paired:
    """The two tables' common queries. Of the documents, only the number is known."""
    of_first, of_second = ({(row["query_id"], row["query"]): row for row in table.rows} for table in (first, second))
    common = [key for key in of_first if key in of_second]
    return Paired(
        first.name,
        [of_first[key] for key in common],
        [of_second[key] for key in common],
        min(first.as_zero, second.as_zero),
        len(of_first) - len(common),
        len(of_second) - len(common),
        (first.documents, second.documents),
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
