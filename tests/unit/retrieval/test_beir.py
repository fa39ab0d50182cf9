"""Bad files in a BEIR folder: each is a one-line error that names file and line."""

import json
from pathlib import Path

import pytest

from stages.retrieval.beir import jsonl_rows, read_corpus, read_qrels, read_queries, tsv_rows
from tests.refused import refused


def written(folder: Path, text: str | bytes, name: str = "corpus.jsonl") -> Path:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def rows(*values: object) -> str:
    return "".join(json.dumps(value) + "\n" for value in values)


def test_the_title_precedes_the_text_with_one_space(tmp_path: Path) -> None:
    titled, empty = {"_id": "a", "title": "Tittel ", "text": " tekst"}, {"_id": "b", "title": "", "text": "bare tekst "}
    content = rows(titled, empty, {"_id": 3, "title": None, "text": "tall som id"}, {"_id": "d", "text": ""})
    assert read_corpus(written(tmp_path, content)) == {"a": "Tittel tekst", "b": "bare tekst", "3": "tall som id", "d": ""}


def test_blank_lines_windows_ends_and_a_byte_order_mark_are_read(tmp_path: Path) -> None:
    path = written(tmp_path, b'\xef\xbb\xbf{"_id": "a", "text": "x"}\r\n\r\n{"_id": "b", "text": "y"}\r\n')
    assert [(where, row["_id"]) for where, row in jsonl_rows(path)] == [(f"{path}: line 1", "a"), (f"{path}: line 3", "b")]


def test_text_of_a_megabyte_is_read(tmp_path: Path) -> None:
    assert len(read_corpus(written(tmp_path, rows({"_id": "a", "text": "x" * 1_000_000})))["a"]) == 1_000_000


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "corpus.jsonl … empty"),
        ("\n \n", "corpus.jsonl … empty"),
        (rows({"_id": "a", "text": "x"}) + '{"_id": "b", "te\n', "corpus.jsonl … line 2 … valid JSON"),
        (rows({"_id": "a", "text": "x"}, ["b", "y"]), "corpus.jsonl … line 2 … JSON object"),
        (b'{"_id": "a", "text": "x"}\n{"_id": "b", "text": "\xe5"}\n', "corpus.jsonl … line 2 … UTF-8"),
        ('{"_id": "a", "text": "\\ud800"}', "corpus.jsonl … line 1 … text … surrogate"),
        (rows({"_id": "a"}), 'corpus.jsonl … line 1 … no field "text"'),
        (rows({"_id": "a", "text": None}), 'corpus.jsonl … line 1 … no field "text"'),
        (rows({"_id": "a", "text": 5}), 'corpus.jsonl … line 1 … "text" … string'),
        (rows({"text": "x"}), 'corpus.jsonl … line 1 … no field "_id"'),
        (rows({"_id": " ", "text": "x"}), 'corpus.jsonl … line 1 … empty "_id"'),
        (rows({"_id": "a", "text": "x"}, {"_id": "a", "text": "y"}), "corpus.jsonl … line 2 … id 'a'"),
    ],
)
@pytest.mark.parametrize("read", [read_corpus, read_queries])
def test_broken_rows_are_named_by_file_and_line(tmp_path: Path, read, content: str | bytes, message: str) -> None:
    with refused(message):
        read(written(tmp_path, content))


def test_missing_file_is_named(tmp_path: Path) -> None:
    with refused("corpus.jsonl", "no such file"):
        read_corpus(tmp_path / "corpus.jsonl")
    with refused(str(tmp_path), "is a folder"):
        read_corpus(tmp_path)


HEADER = "query-id\tcorpus-id\tscore\n"


def test_qrels_keep_grades_also_those_of_0(tmp_path: Path) -> None:
    path = written(tmp_path, HEADER + "q1\td1\t2\nq1\td2\t0.5\nq1\td1\t2\nq2\td1\t0\n", "test.tsv")
    assert read_qrels(tsv_rows(path), {"q1", "q2"}, {"d1", "d2"})[0] == {"q1": {"d1": 2.0, "d2": 0.5}, "q2": {"d1": 0.0}}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "empty"),
        (HEADER, "no rows"),
        ("q\td\t1\n", "line 1 … header"),
        (HEADER + "q\td\t1\nq\td\n", "line 3 … 2 fields"),
        (HEADER + "q\td\tyes\n", "line 2 … grade 'yes'"),
        (HEADER + "q\td\tnan\n", "line 2 … grade 'nan'"),
        (HEADER + "q\td\t1000000000\n", "line 2 … grade"),
        (HEADER + "q\td\t1\nq\td\t2\n", "line 3 … second grade … (q, d)"),
        (HEADER + "q\td\t1\nunknown\td\t1\n", "line 3 … query 'unknown' … queries"),
        (HEADER + "q\tunknown\t1\n", "line 2 … document 'unknown' … corpus"),
    ],
)
def test_broken_qrels_are_named_by_file_and_line(tmp_path: Path, content: str, message: str) -> None:
    with refused("test.tsv", message):
        read_qrels(tsv_rows(written(tmp_path, content, "test.tsv")), queries={"q"}, corpus={"d"})
