"""One formatted set with mined negatives and a teacher's scores, block by block."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stages.mine.negatives import Rules, candidates, choose
from stages.mine.teacher import Teacher
from stages.rows.normalisation import HashSet, combine_hashes, hash_texts, normal_form
from stages.rows.parquet import SCORES, RowGroupWriter, one_array, read_tables, text_columns
from stages.runtime.errors import UserError
from stages.runtime.files import atomic_write, write_json

BLOCK_ROWS = 65_536
"""Rows that find their negatives in each other's texts: what bounds memory, and keeps the work linear in the rows."""
SPARE = 4


def mine(
    source: Path,
    folder: Path,
    name: str,
    *,
    model: Any = None,
    rules: Rules | None = None,
    teacher: Teacher | None = None,
    cross_encoder: Any = None,
) -> dict[str, int]:
    """Write ``folder``/train.parquet: the rows of ``source`` in their order, with more negatives, or scores, or both.

    A row keeps its negatives, without gaps; the mined ones follow. None of them says the same as another text of its row,
    or as a positive that any row of the set gives the same anchor, or is the anchor with a title before it (in sets such as
    ArguAna and Quora queries are documents too). Scores are one for the positive and one for each negative.

    Args:
        model: finds negatives by ``rules`` (see `negatives.candidates`); None: no negatives are mined.
        teacher: scores the rows; None: there are no scores.
        cross_encoder: judges the margin of a candidate in place of the model.

    Returns:
        ``rows``, ``negatives`` (mined), ``without`` (rows for which none was found); also in ``folder``/report.json.

    Raises:
        UserError: the rows have scores, which mined negatives would lack.
    """
    pairs, own = _survey(source)
    schema = _schema(source, own + (rules.negatives if rules else 0), teacher, name)
    report = {"rows": 0, "negatives": 0, "without": 0}
    with atomic_write(folder) as temporary:
        temporary.mkdir()
        with RowGroupWriter(temporary / "train.parquet", schema) as writer:
            for rows in _blocks(source):
                anchors, positives = rows["anchor"].to_pylist(), rows["positive"].to_pylist()
                negatives = _own_negatives(rows)
                if model is not None and rules is not None:
                    mined = _mined(rows, negatives, pairs, model, rules, cross_encoder)
                    report["negatives"] += sum(map(len, mined))
                    report["without"] += sum(not found for found in mined)
                    negatives = [[*kept, *found] for kept, found in zip(negatives, mined, strict=True)]
                report["rows"] += len(rows)
                columns = {"anchor": rows["anchor"], "positive": rows["positive"]}
                for place, column in enumerate(text_columns(schema.names)[2:]):
                    columns[column] = pa.array([row[place] if place < len(row) else None for row in negatives], pa.string())
                if teacher is not None:
                    texts = [[positive, *row] for positive, row in zip(positives, negatives, strict=True)]
                    columns[SCORES] = pa.array(teacher(anchors, texts), pa.list_(pa.float64()))
                columns |= {column: rows[column] for column in ("source", "language")}
                writer.write(pa.table(columns))
        write_json(temporary / "report.json", report)
    return report


def _survey(source: Path) -> tuple[HashSet, int]:
    """Which anchor has which positive, as hashes, and how many negatives a row has at most."""
    pairs, most = HashSet(), 0
    for rows in read_tables(source):
        pairs.add(combine_hashes(np.column_stack([_hashes(rows["anchor"]), _hashes(rows["positive"])])))
        most = max(most, *map(len, _own_negatives(rows)), 0)
    return pairs, most


def _schema(source: Path, negatives: int, teacher: Teacher | None, name: str) -> pa.Schema:
    columns = next(read_tables(source)).column_names
    if SCORES in columns and teacher is None:
        raise UserError(
            f"mining.datasets: {name} brings scores, which mined negatives would lack; set mining.cross_encoder, or leave the set out"
        )
    texts = ["anchor", "positive", "negative", *(f"negative_{number}" for number in range(2, negatives + 1))]
    scores = [(SCORES, pa.list_(pa.float64()))] if teacher is not None else []
    return pa.schema([*((text, pa.string()) for text in texts), *scores, ("source", pa.string()), ("language", pa.string())])


def _blocks(source: Path) -> Iterator[pa.Table]:
    parts: list[pa.Table] = []
    for rows in read_tables(source):
        parts.append(rows)
        if sum(map(len, parts)) >= BLOCK_ROWS:
            yield pa.concat_tables(parts)
            parts = []
    if parts:
        yield pa.concat_tables(parts)


def _own_negatives(rows: pa.Table) -> list[list[str]]:
    columns = [rows[name].to_pylist() for name in text_columns(rows.column_names)[2:]]
    return [[text for text in row if text is not None] for row in zip(*columns, strict=True)]


def _mined(rows: pa.Table, own: Sequence[Sequence[str]], pairs: HashSet, model: Any, rules: Rules, cross_encoder: Any) -> list[list[str]]:
    """The mined negatives of each row."""
    anchors, positives = rows["anchor"].to_pylist(), rows["positive"].to_pylist()
    corpus = [text for row in own for text in row]
    spare = SPARE + max(map(len, own), default=0)
    found = candidates(anchors, positives, corpus, model, rules, spare, cross_encoder)
    lengths = np.array(list(map(len, found)))
    starts = np.concatenate([[0], np.cumsum(lengths)])
    hashes = _hashes(pa.array([text for row in found for text in row], pa.string()))
    anchor_hashes = _hashes(rows["anchor"])
    known = pairs.contains(combine_hashes(np.column_stack([np.repeat(anchor_hashes, lengths), hashes])))
    own_hashes = [_hashes(rows[name]) for name in text_columns(rows.column_names)]
    mined = []
    for row, texts in enumerate(found):
        here = slice(int(starts[row]), int(starts[row + 1]))
        taken = {int(column[row]) for column in own_hashes} | set(hashes[here][known[here]].tolist())
        values = hashes[here].tolist()
        taken |= {value for text, value in zip(texts, values, strict=True) if text.endswith(f" {anchors[row]}")}
        mined.append(choose(texts, values, taken, rules.negatives))
    return mined


def _hashes(texts: pa.Array | pa.ChunkedArray) -> np.ndarray:
    """Hashes of the normal forms, uint64, shape (rows,); 0 for null."""
    array = one_array(texts) if isinstance(texts, pa.ChunkedArray) else texts
    return hash_texts(normal_form(pc.cast(array, pa.string())))
