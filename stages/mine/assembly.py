"""Adds mined negatives and teachers' scores to one formatted set, block by block."""

from collections.abc import Sequence
from itertools import chain, islice
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from stages.mine.judge import Judge, negatives
from stages.mine.negatives import Rules, candidates, in_turn
from stages.rows.normalisation import HashSet, combine_hashes, hash_texts, normal_form
from stages.rows.parquet import ANSWER, SCORES, RowGroupWriter, gathered, read_tables, row_schema, text, text_columns
from stages.runtime.errors import UserError
from stages.runtime.files import atomic_write, write_json

BLOCK_ROWS = 65_536
"""Rows whose texts are candidates for each other; bounds memory and keeps the work linear in the number of rows."""
SPARE = 4
"""Candidates beyond those that a row gets: some turn out to be texts of its own or other positives of its anchor."""
JUDGED = 2
"""Candidates that a judge scores for each negative that a row gets: e5-small finds one in eight relevant (swequad_mc)."""


def mine(
    source: Path,
    folder: Path,
    name: str,
    *,
    models: Sequence[Any] = (),
    rules: Rules | None = None,
    judge: Judge | None = None,
    scored: bool = False,
) -> dict[str, int]:
    """Write ``folder``/train.parquet: the rows of ``source`` in their order, with more negatives, scores, or both.

    A row keeps its negatives, without gaps; mined ones follow. A mined negative equals no other text of its row and no positive of the
    same anchor in any row, and is not the anchor with a title before it (in sets such as ArguAna and Quora, queries are documents too).

    Args:
        models: find negatives by ``rules``, in turn (see `negatives.candidates`); none: no negatives are mined.
        judge: decides which candidates are negatives, in place of the model that found them.
        scored: write the judge's scores, one for the positive and one for each negative; null if one of them is not a number.

    Returns:
        ``rows``, ``negatives`` (mined), ``without`` (rows for which none was found) and, with a judge, ``judged_relevant`` (candidates that
        score too close to their positive); also in ``folder``/report.json.

    Raises:
        UserError: the rows have scores, which mined negatives would lack.
    """
    pairs, own, has_scores = _survey(source)
    if has_scores and not scored:
        raise UserError(
            f"mining.datasets: {name} brings scores, which mined negatives would lack; set mining.teachers, or leave {name} out"
        )
    answered = ANSWER in pq.read_schema(source).names
    schema = row_schema(own + (rules.negatives if rules else 0), scored, answered)
    report = {"rows": 0, "negatives": 0, "without": 0} | ({"judged_relevant": 0} if judge and rules else {})
    with atomic_write(folder) as temporary:
        temporary.mkdir()
        with RowGroupWriter(temporary / "train.parquet", schema) as writer:
            for rows in gathered(read_tables(source), BLOCK_ROWS, inf):
                kept = _own_negatives(rows)
                found = _found(rows, kept, pairs, models, rules, judge is not None) if rules else [[] for _ in kept]
                scores = None
                if judge:
                    found, scores = _judged(rows, kept, found, judge, rules, report)
                if rules:
                    report["negatives"] += sum(map(len, found))
                    report["without"] += sum(not each for each in found)
                report["rows"] += len(rows)
                columns = {name: rows[name] for name in ("anchor", "positive", *([ANSWER] if answered else []), "source", "language")}
                filled = [[*each, *more] for each, more in zip(kept, found, strict=True)]
                for place, column in enumerate(text_columns(schema.names)[2:]):
                    columns[column] = pa.array([row[place] if place < len(row) else None for row in filled], pa.string())
                if scored:
                    columns[SCORES] = pa.array(scores, pa.list_(pa.float64()))
                writer.write(pa.table(columns))
        write_json(temporary / "report.json", report)
    return report


def _judged(
    rows: pa.Table,
    kept: Sequence[Sequence[str]],
    found: Sequence[Sequence[str]],
    judge: Judge,
    rules: Rules | None,
    report: dict[str, int],
) -> tuple[list[list[str]], list[list[float] | None]]:
    """The candidates that are negatives, and the scores of each row's positive, own negatives and those."""
    texts = [[positive, *own, *more] for positive, own, more in zip(rows["positive"].to_pylist(), kept, found, strict=True)]
    chosen: list[list[str]] = []
    scores: list[list[float] | None] = []
    judgements = judge(rows["anchor"].to_pylist(), texts, rows["language"].to_pylist())
    for row, own, judged in zip(texts, kept, judgements, strict=True):
        first = 1 + len(own)
        places = negatives(judged, first, rules.relative_margin) if rules else []
        if rules:
            report["judged_relevant"] += len(row) - first - len(places)
            places = places[: rules.negatives]
        chosen.append([row[place] for place in places])
        values = judged[[*range(first), *places]]
        scores.append(values.tolist() if np.isfinite(values).all() else None)
    return chosen, scores


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


def _found(
    rows: pa.Table, own: Sequence[Sequence[str]], pairs: HashSet, models: Sequence[Any], rules: Rules, judged: bool
) -> list[list[str]]:
    """The candidates of each row, best first: as many as it gets or, if they are ``judged``, more."""
    anchors, positives = rows["anchor"].to_pylist(), rows["positive"].to_pylist()
    number = rules.negatives * (JUDGED if judged else 1)
    wanted = number + SPARE + max(map(len, own), default=0)
    lists = [candidates(anchors, positives, list(chain.from_iterable(own)), model, rules, wanted, judged) for model in models]
    found = [in_turn(row) for row in zip(*lists, strict=True)]
    lengths = list(map(len, found))
    hashes = _hashes(pa.array(list(chain.from_iterable(found)), pa.string()))
    known = pairs.contains(combine_hashes(np.column_stack([np.repeat(_hashes(rows["anchor"]), lengths), hashes])))
    numbered = zip(hashes.tolist(), known.tolist(), strict=True)
    own_hashes = np.column_stack([_hashes(rows[name]) for name in text_columns(rows.column_names)]).tolist()
    mined = []
    for anchor, texts, own_of_row in zip(anchors, found, own_hashes, strict=True):
        chosen: dict[int, str] = {}
        for candidate, (value, is_positive) in zip(texts, islice(numbered, len(texts)), strict=True):
            if not is_positive and value not in own_of_row and not candidate.endswith(f" {anchor}"):
                chosen.setdefault(value, candidate)
        mined.append(list(chosen.values())[:number])
    return mined


def _hashes(texts: pa.Array | pa.ChunkedArray) -> np.ndarray:
    """Hashes of the normal forms, uint64, shape (rows,); 0 for null."""
    return hash_texts(normal_form(text(texts)))
