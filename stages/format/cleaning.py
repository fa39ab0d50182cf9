"""One data set cleaned: every source's chunks become train.parquet, dev.parquet and a report that accounts for each row.

Rows stream through. What stays in memory of them is 8 bytes a row, to find duplicates, and 16 bytes more a row of dev.
"""

from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from stages.format.sources.chunk import Chunk, Split
from stages.format.sources.folder import RawFolder
from stages.rows.dropping import drop
from stages.rows.normalisation import HashSet, combine_hashes, hash_texts, nfc, normal_form
from stages.rows.parquet import SCORES, RowGroupWriter, one_array, text_columns
from stages.rows.report import SplitReport, check_sums
from stages.runtime.errors import UserError
from stages.runtime.files import atomic_write, write_json

MAX_CHARACTERS = 100_000
SPLITS: tuple[Split, ...] = ("train", "dev")


def format_set(name: str, read: Callable[[Split], Iterator[Chunk]], folder: Path, raw: RawFolder | None = None) -> dict[str, Any]:
    """Write ``folder`` with train.parquet, dev.parquet and report.json; return the report.

    A negative that is empty, or says the same as its row's anchor or positive, becomes null. A row is dropped, and
    counted by reason, that has an empty anchor or positive, says the same in both, has a text over `MAX_CHARACTERS`, or
    was there before. Dev is formatted first: of two rows in dev and train that share an anchor or a positive, the one
    in train is dropped.

    Args:
        name: of the set; the column ``source``.
        read: gives the chunks of a split.
        raw: the folder that it reads, of which the report lists every file; the rows read are checked against its own count.

    Raises:
        UserError: no train row is left, or as ``read``.
        RuntimeError: the report does not account for every row.
    """
    with atomic_write(folder) as temporary:
        temporary.mkdir()
        dev, held_out = SplitReport(), _Texts()
        _write(name, _cleaned(read("dev"), dev, collect=held_out), temporary / "dev.parquet", dev)
        train = SplitReport()
        _write(name, _cleaned(read("train"), train, exclude=held_out), temporary / "train.parquet", train)
        if train.kept == 0:
            account = ", ".join(f"{reason}: {rows}" for reason, rows in train.whole()["dropped"].items())
            raise UserError(
                f"datasets.{name}: no training row is left ({account or 'the files hold none'}); "
                "correct the set or leave it out with profile: none"
            )
        report = {"train": train.as_dict(), "dev": dev.as_dict()}
        if raw is not None:
            for split in SPLITS:
                written = pq.read_metadata(temporary / f"{split}.parquet").num_rows
                check_sums(f"datasets.{name}, {split},", report[split], raw.rows(split), written)
            report["files"] = raw.account()
        write_json(temporary / "report.json", report)
    return report


def clean(rows: pa.Table, report: SplitReport) -> pa.Table:
    """The usable rows, texts in NFC and stripped; what is dropped or set to null goes into ``report``."""
    columns = {name: pc.utf8_trim_whitespace(nfc(one_array(rows[name]))) for name in text_columns(rows.column_names)}
    anchor, positive = columns["anchor"], columns["positive"]
    language = one_array(rows["language"])
    for name, negative in list(columns.items())[2:]:
        same = pc.or_(_same(negative, anchor), _same(negative, positive))
        report.lose_negatives(language.filter(same))
        columns[name] = _null_where(pc.or_(same, pc.equal(pc.binary_length(negative), 0)), negative)
    reasons = {
        "empty anchor": pc.invert(_true(pc.greater(pc.binary_length(anchor), 0))),
        "empty positive": pc.invert(_true(pc.greater(pc.binary_length(positive), 0))),
        "anchor equals positive": _same(anchor, positive),
        "too long": np.logical_or.reduce([_too_long(texts) for texts in columns.values()]),
    }
    scores = {SCORES: rows[SCORES]} if SCORES in rows.column_names else {}
    kept, dropped = drop(pa.table({**columns, **scores, "language": language}), reasons)
    report.drop(dropped)
    return kept


class _Texts:
    """The anchors and the positives of a split, as hashes."""

    def __init__(self) -> None:
        self.anchors, self.positives = HashSet(), HashSet()


def _cleaned(
    chunks: Iterator[Chunk], report: SplitReport, collect: _Texts | None = None, exclude: _Texts | None = None
) -> Iterator[pa.Table]:
    """The rows to write; ``collect`` gathers their texts, rows with a text of ``exclude`` are dropped."""
    seen = HashSet()
    for chunk in chunks:
        report.drop(chunk.dropped)
        report.note(chunk.notes)
        report.added += chunk.added
        if not len(chunk.rows):
            continue
        rows = clean(chunk.rows, report)
        hashes = np.column_stack([hash_texts(one_array(rows[name])) for name in text_columns(rows.column_names)])
        reasons = {}
        if exclude is not None:
            shared = exclude.anchors.contains(hashes[:, 0]) | exclude.positives.contains(hashes[:, 1])
            reasons["shares anchor or positive with dev"] = shared
        reasons["duplicate"] = ~seen.add(combine_hashes(hashes))
        kept, dropped = drop(rows, reasons)
        report.drop(dropped)
        if collect is not None:
            collect.anchors.add(hashes[:, 0])
            collect.positives.add(hashes[:, 1])
        yield kept


def _write(name: str, tables: Iterator[pa.Table], path: Path, report: SplitReport) -> None:
    first = next(tables, None)
    texts = ["anchor", "positive", "negative"] if first is None else text_columns(first.column_names)
    scores = [(SCORES, pa.list_(pa.float64()))] if first is not None and SCORES in first.column_names else []
    schema = pa.schema([*((column, pa.string()) for column in texts), *scores, ("source", pa.string()), ("language", pa.string())])
    with RowGroupWriter(path, schema) as writer:
        for rows in chain([] if first is None else [first], tables):
            report.keep(rows)
            writer.write(rows.append_column("source", pc.fill_null(pa.nulls(len(rows), pa.string()), name)))


def _true(mask: pa.Array) -> pa.Array:
    """A null counts as False."""
    return pc.fill_null(mask, False)


def _same(one: pa.Array, other: pa.Array) -> pa.Array:
    """Which rows say the same but for case and white space; null is like nothing."""
    near = _true(pc.equal(pc.binary_length(one), pc.binary_length(other)))  # so it is for all but a few exotic letters
    if not pc.any(near).as_py():
        return near
    same = _true(pc.equal(normal_form(one.filter(near)), normal_form(other.filter(near))))
    return pc.replace_with_mask(near, near, same)


def _too_long(texts: pa.Array) -> np.ndarray:
    long = _true(pc.greater(pc.binary_length(texts), MAX_CHARACTERS))
    if pc.any(long).as_py():
        long = _true(pc.greater(pc.utf8_length(texts), MAX_CHARACTERS))
    return long.to_numpy(zero_copy_only=False)


def _null_where(mask: pa.Array, texts: pa.Array) -> pa.Array:
    mask = _true(mask)
    return pc.if_else(mask, pa.scalar(None, pa.string()), texts) if pc.any(mask).as_py() else texts
