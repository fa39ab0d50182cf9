"""Adds mined negatives and a teacher's scores to one formatted set, block by block."""

from collections.abc import Sequence
from itertools import chain, islice
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from stages.mine.negatives import Rules, candidates
from stages.mine.teacher import Teacher
from stages.rows.normalisation import HashSet, combine_hashes, hash_texts, normal_form
from stages.rows.parquet import ANSWER, SCORES, RowGroupWriter, gathered, read_tables, row_schema, text, text_columns
from stages.runtime.errors import UserError
from stages.runtime.files import atomic_write, write_json

BLOCK_ROWS = 65_536
"""Rows whose texts are candidates for each other; bounds memory and keeps the work linear in the number of rows."""
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
    """Write ``folder``/train.parquet: the rows of ``source`` in their order, with more negatives, scores, or both.

    A row keeps its negatives, without gaps; mined ones follow. A mined negative equals no other text of its row and no positive of the
    same anchor in any row, and is not the anchor with a title before it (in sets such as ArguAna and Quora, queries are documents too).
    There is one score for the positive and one for each negative.

    Args:
        model: finds negatives by ``rules`` (see `negatives.candidates`); None: no negatives are mined.
        teacher: scores the rows; None: no scores are added.
        cross_encoder: judges the margin of a candidate in place of the model.

    Returns:
        ``rows``, ``negatives`` (mined), ``without`` (rows for which none was found); also in ``folder``/report.json.

    Raises:
        UserError: the rows have scores, which mined negatives would lack.
    """
    pairs, own, scored = _survey(source)
    if scored and teacher is None:
        raise UserError(
            f"mining.datasets: {name} brings scores, which mined negatives would lack; set mining.cross_encoder, or leave {name} out"
        )
    answered = ANSWER in pq.read_schema(source).names
    schema = row_schema(own + (rules.negatives if rules else 0), teacher is not None, answered)
    report = {"rows": 0, "negatives": 0, "without": 0}
    with atomic_write(folder) as temporary:
        temporary.mkdir()
        with RowGroupWriter(temporary / "train.parquet", schema) as writer:
            for rows in gathered(read_tables(source), BLOCK_ROWS, inf):
                negatives = _own_negatives(rows)
                if model is not None and rules is not None:
                    mined = _mined(rows, negatives, pairs, model, rules, cross_encoder)
                    report["negatives"] += sum(map(len, mined))
                    report["without"] += sum(not found for found in mined)
                    negatives = [[*kept, *found] for kept, found in zip(negatives, mined, strict=True)]
                report["rows"] += len(rows)
                columns = {name: rows[name] for name in ("anchor", "positive", *([ANSWER] if answered else []), "source", "language")}
                for place, column in enumerate(text_columns(schema.names)[2:]):
                    columns[column] = pa.array([row[place] if place < len(row) else None for row in negatives], pa.string())
                if teacher is not None:
                    texts = [[positive, *row] for positive, row in zip(rows["positive"].to_pylist(), negatives, strict=True)]
                    columns[SCORES] = pa.array(teacher(rows["anchor"].to_pylist(), texts), pa.list_(pa.float64()))
                writer.write(pa.table(columns))
        write_json(temporary / "report.json", report)
    return report


def _survey(source: Path) -> tuple[HashSet, int, bool]:
    """Which anchor has which positive, as hashes; how many negatives a row has at most; whether rows have scores."""
    pairs, most, scored = HashSet(), 0, False
    for rows in read_tables(source):
        pairs.add(combine_hashes(np.column_stack([_hashes(rows["anchor"]), _hashes(rows["positive"])])))
        most = max(most, *map(len, _own_negatives(rows)), 0)
        scored |= SCORES in rows.column_names
    return pairs, most, scored


def _own_negatives(rows: pa.Table) -> list[list[str]]:
    columns = [rows[name].to_pylist() for name in text_columns(rows.column_names)[2:]]
    return [[negative for negative in row if negative is not None] for row in zip(*columns, strict=True)]


def _mined(rows: pa.Table, own: Sequence[Sequence[str]], pairs: HashSet, model: Any, rules: Rules, cross_encoder: Any) -> list[list[str]]:
    """The mined negatives of each row."""
    anchors, positives = rows["anchor"].to_pylist(), rows["positive"].to_pylist()
    spare = SPARE + max(map(len, own), default=0)
    found = candidates(anchors, positives, list(chain.from_iterable(own)), model, rules, spare, cross_encoder)
    lengths = list(map(len, found))
    hashes = _hashes(pa.array(list(chain.from_iterable(found)), pa.string()))
    known = pairs.contains(combine_hashes(np.column_stack([np.repeat(_hashes(rows["anchor"]), lengths), hashes])))
    judged = zip(hashes.tolist(), known.tolist(), strict=True)
    own_hashes = np.column_stack([_hashes(rows[name]) for name in text_columns(rows.column_names)]).tolist()
    mined = []
    for anchor, texts, own_of_row in zip(anchors, found, own_hashes, strict=True):
        chosen: dict[int, str] = {}
        for candidate, (value, is_positive) in zip(texts, islice(judged, len(texts)), strict=True):
            if not is_positive and value not in own_of_row and not candidate.endswith(f" {anchor}"):
                chosen.setdefault(value, candidate)
        mined.append(list(chosen.values())[: rules.negatives])
    return mined


def _hashes(texts: pa.Array | pa.ChunkedArray) -> np.ndarray:
    """Hashes of the normal forms, uint64, shape (rows,); 0 for null."""
    return hash_texts(normal_form(text(texts)))
