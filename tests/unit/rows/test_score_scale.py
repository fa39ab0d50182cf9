"""Scores of a teacher on one scale, whichever data set or model they come from."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stages.format.cleaning import format_set
from stages.format.sources import reader
from stages.format.sources.chunk import Options
from stages.format.sources.folder import RawFolder
from stages.mine.judge import Judge
from stages.rows.parquet import read_tables, row_schema
from stages.rows.score_scale import scale_file

ROWS = [("q", ["a", "b", "c"], [9.0, 5.0, 4.0]), ("r", ["d", "e", None], [8.0, 7.5])]


def write(path: Path, *scores: list[float] | None) -> None:
    schema = row_schema(1, True)
    values = {"anchor": "q", "positive": "p", "negative": "n", "source": "set", "language": "nb"}
    pq.write_table(pa.Table.from_pylist([{**values, "scores": each} for each in scores], schema), path)


def scores(path: Path) -> list[list[float] | None]:
    return [each for table in read_tables(path) for each in table["scores"].to_pylist()]


@pytest.mark.parametrize("kind", ["scored", "triplets"])
def test_a_data_sets_own_scores_have_the_scale_of_mined_ones(tmp_path: Path, kind: str) -> None:
    known = {text: score for _, texts, values in ROWS for text, score in zip(texts, values, strict=False)}
    mined = Judge([(lambda pairs: np.array([known[text] for _, text in pairs]), 1.0)])(
        [query for query, _, _ in ROWS], [[text for text in texts if text] for _, texts, _ in ROWS]
    )
    names = ("query" if kind == "scored" else "anchor", "positive", "negative", "negative_2")
    rows = [{**dict(zip(names, (query, *texts), strict=True)), "scores": values} for query, texts, values in ROWS]
    (tmp_path / "raw").mkdir()
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "raw" / "train.parquet")
    raw = RawFolder(tmp_path / "raw")
    format_set("set", lambda split: reader(kind)(raw, split, Options()), tmp_path / "set", raw)
    for own, expected in zip(scores(tmp_path / "set" / "train.parquet"), mined, strict=True):
        assert own == pytest.approx(expected)


def test_rows_without_scores_and_what_is_no_number_stay_unknown(tmp_path: Path) -> None:
    write(path := tmp_path / "rows.parquet", None, [3.0, 1.0], [float("nan"), 2.0], None, [float("inf"), 2.0])
    scale_file(path)
    first, second, third, fourth, fifth = scores(path)
    assert first is None and fourth is None
    assert second == pytest.approx([2**0.5, -(2**0.5)])
    for each in (third, fifth):
        assert each is not None and np.isnan(each[0]) and each[1] == 0


@pytest.mark.parametrize("rows", [[], [None, None], [[3.0, 3.0]]])
def test_scores_that_tell_nothing_apart_are_zero(tmp_path: Path, rows: list[list[float] | None]) -> None:
    write(path := tmp_path / "rows.parquet", *rows)
    scale_file(path)
    assert scores(path) == [each and [0.0, 0.0] for each in rows]
