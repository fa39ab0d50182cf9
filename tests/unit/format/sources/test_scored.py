"""Rows of ids with a teacher's scores, in the forms in which they are published, joined to their texts."""

import gzip
import json
import math

import numpy as np
import pytest

from stages.format.cleaning import format_set
from stages.format.sources import reader
from stages.format.sources.chunk import Options
from stages.format.sources.folder import RawFolder
from stages.format.sources.scored import MISFIT, NO_NEGATIVE, NO_POSITIVE, NO_QUERY
from stages.rows.parquet import read_tables
from tests.refused import refused
from tests.unit.format.sources.conftest import read_all

COLUMNS = ("anchor", "positive", "negative", "scores")


@pytest.fixture
def folder(tmp_path, write):
    """Two queries and four documents, with the columns of lightonai/ms-marco-en-bge."""
    write("english_queries.train.parquet", [{"query_id": f"q{i}", "text": f"spørsmål {i}"} for i in (1, 2)])
    write("english_collection.parquet", [{"document_id": f"d{i}", "text": f"blåbær {i}"} for i in (1, 2, 3, 4)])
    return tmp_path


def rows(folder, *columns, **options):
    return [tuple(row[name] for name in columns or COLUMNS) for row in read_all("scored", folder, **options)[0]]


def lines(path, *values):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(map(json.dumps, values)), encoding="utf-8-sig")


def test_of_lists_the_best_document_is_the_positive_and_the_others_keep_their_order(folder, write):
    write("dataset.parquet", [{"query_id": "q1", "document_ids": ["d1", "d2", "d3"], "scores": [0.25, 0.9, 0.5]}])
    [row] = read_all("scored", folder, language="nb")[0]
    assert row == {
        "anchor": "spørsmål 1",
        "positive": "blåbær 2",
        "negative": "blåbær 1",
        "negative_2": "blåbær 3",
        "language": "nb",
        "scores": [0.9, 0.25, 0.5],
    }


@pytest.mark.parametrize(
    "scored",
    [
        {"negative_id": "d2", "score": 2.5},
        {"negative_id": "d2", "score": "2.5"},
        {"negative_id": "d2", "positive_score": 3.5, "negative_score": 1.0},
        {"negative_id": "d2", "scores": [1, -1.5]},
        {"negative_ids": ["d2"], "scores": "[3.5, 1.0]"},
        {"negative_ids": "['d2']", "margin": 2.5},
    ],
)
def test_a_triple_has_scores_or_margins(folder, scored):
    triple = {"query_id": "q1", "positive_id": "d1"}
    lines(folder / "triples" / "train.jsonl", triple | scored, triple | {"negative_id": "d3", "score": 5})
    [(anchor, positive, negative, scores), (*_, others)] = rows(folder)
    assert (anchor, positive, negative) == ("spørsmål 1", "blåbær 1", "blåbær 2")
    assert 2 * (scores[0] - scores[1]) == pytest.approx(others[0] - others[1])


def test_several_negatives_have_a_margin_each_and_rows_may_have_fewer(folder):
    triple = {"query_id": "q1", "positive_id": "d1", "negative_id_1": "d2", "negative_id_2": "d3", "score": [1.0, 2.0]}
    lines(folder / "rows.jsonl", triple, {"query_id": "q2", "positive_id": "d4", "negative_id_1": "d2", "score": [0.5]})
    found = rows(folder, "positive", "negative", "negative_2", "scores")
    assert found == [("blåbær 1", "blåbær 2", "blåbær 3", [0, -1, -2]), ("blåbær 4", "blåbær 2", None, [0, -0.5])]


def test_the_tsv_files_of_ms_marco_have_no_header(tmp_path):
    (tmp_path / "collection.tsv").write_text('\ufeff7\tblåbær "søt"\n8\tmelk\n', encoding="utf-8")
    (tmp_path / "queries.train.tsv.gz").write_bytes(gzip.compress("1\thva er søtt\r\n".encode()))
    (tmp_path / "scores_ids.tsv").write_text("9.5\t-1\t1\t7\t8\n", encoding="utf-8")
    assert rows(tmp_path) == [("hva er søtt", 'blåbær "søt"', "melk", [9.5, -1])]


@pytest.mark.parametrize(
    "row",
    [
        {"query": "q", "pos": ["en", "ubrukt"], "neg": ["to", "tre"], "pos_scores": [3, 9], "neg_scores": [1, 2], "query_id": "x"},
        {"query": "q", "positive": "en", "negative": "to", "negative_2": "tre", "scores": [3, 1, 2]},
        {"query": "q", "passages": ["to", "en", "tre"], "scores": [1, 3, 2]},
    ],
)
def test_rows_that_hold_their_texts_need_no_other_file(tmp_path, row):
    lines(tmp_path / "rows.jsonl", row)
    assert rows(tmp_path, *COLUMNS[:3], "negative_2", "scores") == [("q", "en", "to", "tre", [3, 1, 2])]


def test_titles_stand_before_texts_and_a_beir_folders_names_tell_its_files_apart(tmp_path):
    lines(tmp_path / "corpus.jsonl", {"_id": 1, "title": "T", "text": "en"}, {"_id": 2, "title": "", "text": "to"})
    lines(tmp_path / "queries.jsonl", {"_id": 5, "text": "q"})
    lines(tmp_path / "scores" / "train.jsonl", {"query_id": 5, "document_ids": [2, 1], "scores": [0, 1]})
    assert rows(tmp_path) == [("q", "T en", "to", [1, 0])]


def test_further_files_are_left_out_with_their_columns(folder, write):
    write("dataset.parquet", [{"query_id": "q1", "document_ids": ["d1"], "scores": [0.2]}])
    write("labeled-list/train.parquet", [{"query_id": "q1", "doc_ids": ["d1"], "labels": [1]}])
    raw = RawFolder(folder)
    [found] = reader("scored")(raw, "train", Options())
    assert len(found.rows) == 1
    account = raw.account()
    assert "labels" in account["labeled-list/train.parquet"]["not read"]
    assert account["dataset.parquet"] == {"train": 1}
    assert account["english_collection.parquet"]["not read"].startswith("4 texts")


def test_ids_without_texts_are_counted(folder):
    lines(
        folder / "rows.jsonl",
        {"query_id": "q1", "document_ids": ["d1", "gone", "d3"], "scores": [3, 2, 1]},
        {"query_id": "gone", "document_ids": ["d1", "d2"], "scores": [3, 2]},
        {"query_id": "q1", "document_ids": ["gone", "d1"], "scores": [3, 2]},
        {"query_id": "q1", "document_ids": ["d1"], "scores": [3, 2]},
        {"query_id": "q1", "document_ids": [], "scores": []},
    )
    found, dropped = read_all("scored", folder, unknown_ids=0.5)
    assert [(row["negative"], row["negative_2"], row["scores"]) for row in found] == [(None, "blåbær 3", [3, 2, 1])]
    assert dropped == {NO_QUERY: 1, NO_POSITIVE: 1, MISFIT: 2}
    assert next(reader("scored")(RawFolder(folder), "train", Options(unknown_ids=0.5))).notes == {NO_NEGATIVE: 1}
    with refused("2 of 5 rows", "query 'gone'", "document 'gone'", "unknown_ids"):
        read_all("scored", folder)


def test_scores_that_are_missing_choose_no_positive(folder):
    lines(folder / "rows.jsonl", {"query_id": "q1", "document_ids": ["d1", "d2"], "scores": [math.nan, 1.0]})
    [(_, positive, negative, scores)] = rows(folder)
    assert (positive, negative) == ("blåbær 2", "blåbær 1")
    assert [math.isnan(score) for score in scores] == [False, True]


def test_scores_that_are_not_numbers_are_refused(folder):
    lines(folder / "rows.jsonl", {"query_id": "q1", "document_ids": ["d1"], "scores": ["good"]})
    with refused("rows.jsonl", "score", "'good'"):
        read_all("scored", folder)


def test_an_id_that_comes_again_in_a_row_is_read_once(folder):
    lines(folder / "rows.jsonl", {"query_id": "q1", "document_ids": ["d1", "d2", "d1"], "scores": [1, 2, 1]})
    assert rows(folder) == [("spørsmål 1", "blåbær 2", "blåbær 1", [2, 1])]


def test_max_negatives_keeps_the_first_ones_with_their_scores(folder):
    lines(folder / "rows.jsonl", {"query_id": "q1", "document_ids": ["d1", "d2", "d3"], "scores": [3, 1, 2]})
    assert rows(folder, max_negatives=1) == [("spørsmål 1", "blåbær 1", "blåbær 2", [3, 1])]


def test_splits_are_told_by_names_and_fields(folder):
    row = {"query_id": "q1", "document_ids": ["d1"], "scores": [3]}
    lines(folder / "rows.jsonl", {**row, "split": "dev"}, {**row, "query_id": "q2"})
    assert [row[0] for row in rows(folder, split="train")] == ["spørsmål 2"]
    assert [row["anchor"] for row in read_all("scored", folder, "dev")[0]] == ["spørsmål 1"]


@pytest.mark.parametrize(("missing", "fault"), [("queries", "no file of queries"), ("collection", "no file of documents")])
def test_a_missing_file_is_named_with_its_columns(folder, missing, fault):
    lines(folder / "rows.jsonl", {"query_id": "q1", "document_ids": ["d1"], "scores": [3]})
    next(folder.glob(f"*{missing}*")).unlink()
    with refused(fault, "_id, text"):
        read_all("scored", folder)


def test_a_broken_file_is_refused(folder):
    (folder / "dataset.parquet").write_bytes(b"PAR1 not really")
    with refused("dataset.parquet", "complete"):
        read_all("scored", folder)


def test_a_tsv_row_with_another_number_of_fields_is_refused(folder):
    (folder / "more.tsv").write_text("1\ten\n2\tto\ttre\n", encoding="utf-8")
    lines(folder / "rows.jsonl", {"query_id": "q1", "document_ids": ["d1"], "scores": [3]})
    with refused("more.tsv", "Row #2", "tab"):
        read_all("scored", folder)


def test_formatted_rows_keep_scores_beside_their_texts(folder, write, tmp_path):
    write("dataset.parquet", [{"query_id": "q1", "document_ids": ["d1", "d2", "d3"], "scores": [0.25, 0.9, 0.5]}] * 2)
    raw = RawFolder(folder, tmp_path)
    report = format_set("set", lambda split: reader("scored")(raw, split, Options()), tmp_path / "formatted", raw)
    assert report["train"]["dropped"] == {"duplicate": 1}
    [table] = read_tables(tmp_path / "formatted" / "train.parquet")
    assert np.diff(table["scores"].to_pylist()[0]) == pytest.approx(np.diff([0.9, 0.25, 0.5]) / np.std([0.9, 0.25, 0.5]))
    assert table["negative_2"].to_pylist() == ["blåbær 3"]
