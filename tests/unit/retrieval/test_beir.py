"""Bad files in a BEIR folder: each is one line that names the file and the line number."""

import json
from pathlib import Path

import pytest

from stages.retrieval.beir import read_corpus, read_jsonl, read_qrels, read_queries
from stages.runtime.errors import UserError


def written(folder: Path, text: str | bytes, name: str = "corpus.jsonl") -> Path:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def rows(*values: object) -> str:
    return "".join(json.dumps(value) + "\n" for value in values)


def test_title_stands_before_the_text_with_one_space(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        rows(
            {"_id": "a", "title": "Tittel ", "text": " tekst"},
            {"_id": "b", "title": "", "text": "bare tekst "},
            {"_id": 3, "title": None, "text": "tall som id"},
            {"_id": "d", "text": ""},
        ),
    )
    assert read_corpus(path) == {"a": "Tittel tekst", "b": "bare tekst", "3": "tall som id", "d": ""}


def test_blank_lines_windows_ends_and_a_byte_order_mark_are_read(tmp_path: Path) -> None:
    path = written(tmp_path, b'\xef\xbb\xbf{"_id": "a", "text": "x"}\r\n\r\n{"_id": "b", "text": "y"}\r\n')
    assert [(number, row["_id"]) for number, row in read_jsonl(path)] == [(1, "a"), (3, "b")]


def test_text_of_a_megabyte_is_read(tmp_path: Path) -> None:
    assert len(read_corpus(written(tmp_path, rows({"_id": "a", "text": "x" * 1_000_000})))["a"]) == 1_000_000


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", r"corpus\.jsonl: is empty"),
        ("\n \n", r"corpus\.jsonl: is empty"),
        (rows({"_id": "a", "text": "x"}) + '{"_id": "b", "te\n', r"corpus\.jsonl: line 2 is not valid JSON"),
        (rows({"_id": "a", "text": "x"}, ["b", "y"]), r"corpus\.jsonl: line 2 is not a JSON object"),
        (b'{"_id": "a", "text": "x"}\n{"_id": "b", "text": "\xe5"}\n', r"corpus\.jsonl: line 2 is not valid UTF-8"),
        ('{"_id": "a", "text": "\\ud800"}', r"corpus\.jsonl: line 1 has a field .text. with half a surrogate pair"),
        (rows({"_id": "a"}), r'corpus\.jsonl: line 1 has no field "text"'),
        (rows({"_id": "a", "text": None}), r'corpus\.jsonl: line 1 has no field "text"'),
        (rows({"_id": "a", "text": 5}), r'corpus\.jsonl: line 1 has a field "text" that is no string'),
        (rows({"text": "x"}), r'corpus\.jsonl: line 1 has no field "_id"'),
        (rows({"_id": " ", "text": "x"}), r'corpus\.jsonl: line 1 has an empty "_id"'),
        (rows({"_id": "a", "text": "x"}, {"_id": "a", "text": "y"}), r"line 2 has the id 'a' a second time"),
    ],
)
@pytest.mark.parametrize("read", [read_corpus, read_queries])
def test_broken_rows_are_named_by_file_and_line(tmp_path: Path, read, content: str | bytes, message: str) -> None:
    with pytest.raises(UserError, match=message) as raised:
        read(written(tmp_path, content))
    assert "\n" not in str(raised.value)


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"corpus\.jsonl: no such file"):
        read_corpus(tmp_path / "corpus.jsonl")
    with pytest.raises(UserError, match="is a folder"):
        read_corpus(tmp_path)


HEADER = "query-id\tcorpus-id\tscore\n"


def test_qrels_keep_grades_and_a_query_without_a_relevant_document(tmp_path: Path) -> None:
    path = written(tmp_path, HEADER + "q1\td1\t2\nq1\td2\t0.5\nq1\td1\t2\nq2\td1\t0\n", "test.tsv")
    assert read_qrels(path) == {"q1": {"d1": 2.0, "d2": 0.5}, "q2": {}}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty"),
        (HEADER, "has a header and no rows"),
        ("q\td\t1\n", "line 1 is not the header"),
        (HEADER + "q\td\t1\nq\td\n", "line 3 has 2 fields"),
        (HEADER + "q\td\tyes\n", "line 2 has the grade 'yes'"),
        (HEADER + "q\td\tnan\n", "line 2 has the grade 'nan'"),
        (HEADER + "q\td\t1000000000\n", "line 2 has the grade"),
        (HEADER + "q\td\t1\nq\td\t2\n", r"line 3 gives a second grade to \(q, d\)"),
        (HEADER + "q\td\t1\nunknown\td\t1\n", "line 3 names the query 'unknown', which is not in queries.jsonl"),
        (HEADER + "q\tunknown\t1\n", "line 2 names the document 'unknown', which is not in corpus.jsonl"),
    ],
)
def test_broken_qrels_are_named_by_file_and_line(tmp_path: Path, content: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as raised:
        read_qrels(written(tmp_path, content, "test.tsv"), queries={"q"}, corpus={"d"})
    assert "test.tsv" in str(raised.value)
