"""Cleans one data set: its chunks become train.parquet, dev.parquet and a report that accounts for every row.

Rows are streamed. Memory holds 8 bytes per row, to find duplicates, and 16 more per dev row.
"""

from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from stages.format.sources.chunk import Chunk
from stages.format.sources.folder import RawFolder
from stages.hub.splits import Split
from stages.rows.dropping import as_mask, drop
from stages.rows.normalisation import HashSet, combine_hashes, hash_texts, nfc, normal_form
from stages.rows.parquet import ANSWER, SCORES, RowGroupWriter, one_array, row_schema, text_columns
from stages.rows.report import SplitReport, check_sums
from stages.rows.score_scale import scale_file
from stages.runtime.errors import UserError
from stages.runtime.files import atomic_write, write_json

MAX_CHARACTERS = 100_000
BEGIN = 8
"""Characters compared before whole texts: few rows hold two texts with the same beginning, and normal forms are slow."""


def format_set(name: str, read: Callable[[Split], Iterator[Chunk]], folder: Path, raw: RawFolder | None = None) -> dict[str, Any]:
    """Write ``folder`` with train.parquet, dev.parquet and report.json; return the report.

    A negative that is empty or equals its row's anchor or positive becomes null. A row is dropped and counted by reason if its
    anchor or positive is empty, if the two are equal, if a text is longer than `MAX_CHARACTERS`, or if it is a duplicate. Texts
    are equal if their normal forms are, but only identical rows are duplicates. Dev is formatted first: a training row that shares
    its anchor or positive with a dev row is dropped. A teacher's scores that the set brings are put on the scale of `mining.teachers`.

    Args:
        name: of the set, written to the column ``source``.
        read: returns the chunks of a split.
        raw: the folder that ``read`` reads; the report lists its files, and the rows are checked against its count.

    Raises:
        UserError: no training row is left; or as ``read``.
        RuntimeError: the report does not account for every row.
    """
    with atomic_write(folder) as temporary:
        temporary.mkdir()
        held_out = {"anchor": HashSet(), "positive": HashSet()}
        reports: dict[Split, SplitReport] = {"train": SplitReport(), "dev": SplitReport()}
        _write(name, _cleaned(read("dev"), reports["dev"], collect=held_out), temporary / "dev.parquet", reports["dev"])
        _write(name, _cleaned(read("train"), reports["train"], exclude=held_out), temporary / "train.parquet", reports["train"])
        scale_file(temporary / "train.parquet")
        report: dict[str, Any] = {split: counts.as_dict() for split, counts in reports.items()}
        if not report["train"]["kept"]:
            account = ", ".join(f"{reason}: {rows}" for reason, rows in report["train"]["dropped"].items())
            raise UserError(
                f"datasets.{name}: no training row is left ({account or 'the files hold none'}); "
                "correct the files, or leave the set out with profile: none"
            )
        if raw is not None:
            for split, counts in reports.items():
                written = pq.read_metadata(temporary / f"{split}.parquet").num_rows
                check_sums(f"datasets.{name}, {split},", counts, raw.rows(split), written)
            report["files"] = raw.account()
        write_json(temporary / "report.json", report)
    return report


def _cleaned(
    chunks: Iterator[Chunk], report: SplitReport, collect: Mapping[str, HashSet] | None = None, exclude: Mapping[str, HashSet] | None = None
) -> Iterator[pa.Table]:
    """The rows to write. ``collect`` takes the hashes of their anchors and positives; rows that share one with ``exclude`` are dropped."""
    seen = HashSet()
    for chunk in chunks:
        report.drop(chunk.dropped)
        report.notes.update(chunk.notes)
        report.added += chunk.added
        if not len(chunk.rows):
            continue
        rows = _usable(chunk.rows, report)
        hashes = np.column_stack([hash_texts(one_array(rows[name])) for name in text_columns(rows.column_names)])
        reasons = {}
        if exclude is not None:
            shared = exclude["anchor"].contains(hashes[:, 0]) | exclude["positive"].contains(hashes[:, 1])
            reasons["shares anchor or positive with dev"] = shared
        reasons["duplicate"] = ~seen.add(combine_hashes(hashes))
        kept, dropped = drop(rows, reasons)
        report.drop(dropped)
        if collect is not None:
            collect["anchor"].add(hashes[:, 0])
            collect["positive"].add(hashes[:, 1])
        yield kept


def _usable(rows: pa.Table, report: SplitReport) -> pa.Table:
    """The usable rows, with texts in NFC and stripped; ``report`` counts dropped rows and removed negatives."""
    columns = {name: pc.utf8_trim_whitespace(nfc(one_array(rows[name]))) for name in text_columns(rows.column_names)}
    begins = {name: _begin(texts) for name, texts in columns.items()}
    empty = {name: ~as_mask(pc.greater(pc.binary_length(texts), 0)) for name, texts in columns.items()}
    language = one_array(rows["language"])
    for name, negative in list(columns.items())[2:]:
        same = _same(columns, begins, name, "anchor") | _same(columns, begins, name, "positive")
        report.lose_negatives(language.filter(pa.array(same)))
        columns[name] = pc.if_else(pa.array(same | empty[name]), pa.scalar(None, pa.string()), negative)
    reasons = {
        "empty anchor": empty["anchor"],
        "empty positive": empty["positive"],
        "anchor equals positive": _same(columns, begins, "anchor", "positive"),
        "too long": np.logical_or.reduce([_too_long(texts) for texts in columns.values()]),
    }
    more = {name: rows[name] for name in (SCORES, ANSWER) if name in rows.column_names}
    kept, dropped = drop(pa.table({**columns, **more, "language": language}), reasons)
    report.drop(dropped)
    return kept


def _begin(texts: pa.StringArray) -> pa.StringArray:
    """The first `BEGIN` characters of the normal forms; null if twice as many characters of the text do not yield that many."""
    begin = pc.utf8_slice_codeunits(normal_form(pc.utf8_slice_codeunits(texts, 0, 2 * BEGIN)), 0, BEGIN)
    return pc.if_else(pc.equal(pc.utf8_length(begin), BEGIN), begin, pa.scalar(None, pa.string()))


def _same(columns: Mapping[str, pa.StringArray], begins: Mapping[str, pa.StringArray], one: str, other: str) -> np.ndarray:
    """Which rows have equal normal forms in two columns, shape (rows,); computed only if their ``begins`` are equal or unknown."""
    near = pc.fill_null(pc.equal(begins[one], begins[other]), True)
    near = pc.and_(near, pc.and_(columns[one].is_valid(), columns[other].is_valid()))
    same = as_mask(near)
    same[same] = as_mask(pc.equal(*(normal_form(columns[name].filter(near)) for name in (one, other))))
    return same


def _too_long(texts: pa.StringArray) -> np.ndarray:
    """Which texts are longer than `MAX_CHARACTERS`, shape (rows,); only those with more bytes than that are measured."""
    long = as_mask(pc.greater(pc.binary_length(texts), MAX_CHARACTERS))
    long[long] = as_mask(pc.greater(pc.utf8_length(texts.filter(pa.array(long))), MAX_CHARACTERS))
    return long


def _write(name: str, tables: Iterator[pa.Table], path: Path, report: SplitReport) -> None:
    first = next(tables, pa.table({column: [] for column in ("anchor", "positive", "negative")}))
    schema = row_schema(len(text_columns(first.column_names)) - 2, *(name in first.column_names for name in (SCORES, ANSWER)))
    with RowGroupWriter(path, schema) as writer:
        for rows in chain([first] if len(first) else [], tables):
            report.keep(rows)
            writer.write(rows.append_column("source", pa.repeat(pa.scalar(name), len(rows))))
