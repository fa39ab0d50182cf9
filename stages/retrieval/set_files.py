"""Retrieval sets of any kind in one plain form on disk, from the stage that prepares them to the one that uses them."""

import json
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from stages.retrieval.sets import Qrels, RetrievalSet

TEXTS = pa.schema([("set", pa.string()), ("_id", pa.string()), ("text", pa.string())])
JUDGEMENTS = pa.schema([("set", pa.string()), ("query-id", pa.string()), ("corpus-id", pa.string()), ("score", pa.float64())])
ABOUT = ("name", "language", "queries_left_out", "entry", "nano", "unknown", "unknown_ids")


def write_sets(sets: Sequence[RetrievalSet], folder: Path) -> None:
    """Write ``folder``, which exists: sets.json, queries.parquet, corpus.parquet, qrels.parquet. Names must differ."""
    about = [{**{key: getattr(each, key) for key in ABOUT}, "own": sorted(each.own)} for each in sets]
    (folder / "sets.json").write_text(json.dumps(about, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    for part in ("queries", "corpus"):
        rows = [(each.name, *item) for each in sets for item in getattr(each, part).items()]
        _write(rows, TEXTS, folder / f"{part}.parquet")
    judged = [(each.name, query, *item) for each in sets for query, documents in each.qrels.items() for item in documents.items()]
    _write(judged, JUDGEMENTS, folder / "qrels.parquet")


def read_sets(folder: Path) -> list[RetrievalSet]:
    """The sets that `write_sets` wrote, equal in content and order."""
    about = json.loads((folder / "sets.json").read_text(encoding="utf-8"))
    texts: dict[str, dict[str, dict[str, str]]] = {}
    for part in ("queries", "corpus"):
        texts[part] = {each["name"]: {} for each in about}
        for name, identifier, text in _rows(folder / f"{part}.parquet"):
            texts[part][name][identifier] = text
    qrels: dict[str, Qrels] = {each["name"]: {} for each in about}
    for name, query, document, grade in _rows(folder / "qrels.parquet"):
        qrels[name].setdefault(query, {})[document] = grade
    for each in about:
        each["own"] = frozenset(each["own"])
    return [
        RetrievalSet(**each, queries=texts["queries"][each["name"]], corpus=texts["corpus"][each["name"]], qrels=qrels[each["name"]])
        for each in about
    ]


def _write(rows: Sequence[tuple[object, ...]], schema: pa.Schema, path: Path) -> None:
    columns = list(zip(*rows, strict=True)) or [()] * len(schema)
    table = pa.table([pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)], schema=schema)
    pq.write_table(table, path, compression="zstd")


def _rows(path: Path) -> zip:  # type: ignore[type-arg]
    table = pq.read_table(path)
    return zip(*(column.to_pylist() for column in table.columns), strict=True)
