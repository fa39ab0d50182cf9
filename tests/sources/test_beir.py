import json

import pytest

from stages.errors import UserError
from stages.sources.beir import passage
from tests.sources.conftest import read_all


@pytest.fixture
def folder(tmp_path):
    """Three documents, three queries, one relevant document for each; d3 is judged and not relevant."""
    corpus = [{"_id": f"d{i}", "title": f"T{i}", "text": f"tekst {i} en to tre fire fem"} for i in (1, 2, 3)]
    queries = [{"_id": f"q{i}", "text": f"spørsmål {i}", "answer": "fire"} for i in (1, 2, 3)]
    for name, rows in (("corpus", corpus), ("queries", queries)):
        (tmp_path / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    (tmp_path / "qrels").mkdir()
    header = "query-id\tcorpus-id\tscore\n"
    (tmp_path / "qrels" / "train.tsv").write_text(header + "q1\td1\t1\nq1\td3\t0\nq2\td2\t1\n", encoding="utf-8")
    (tmp_path / "qrels" / "test.tsv").write_text(header + "q3\td3\t1\n", encoding="utf-8")
    return tmp_path


def test_a_relevant_document_with_its_title_is_the_positive(folder):
    rows, _ = read_all("beir", folder, language="sv")
    assert rows[0] == {"anchor": "spørsmål 1", "positive": "T1 tekst 1 en to tre fire fem", "negative": None, "language": "sv"}
    assert [row["anchor"] for row in rows] == ["spørsmål 1", "spørsmål 2"]


def test_without_dev_qrels_there_are_no_dev_rows(folder):
    assert read_all("beir", folder, "dev")[0] == []


def test_the_split_chooses_the_qrels(folder):
    assert [row["anchor"] for row in read_all("beir", folder, split="train")[0]] == ["spørsmål 1", "spørsmål 2"]
    from stages.sources import reader
    from stages.sources.chunk import Options
    from stages.sources.folder import RawFolder

    chunks = list(reader("beir")(RawFolder(folder), "train", Options(split="test")))
    assert [text for chunk in chunks for text in chunk.rows["anchor"].to_pylist()] == ["spørsmål 3"]


def test_the_passage_is_the_one_with_the_answer(folder):
    assert [row["positive"] for row in read_all("beir", folder, passage_words=3)[0]] == ["fire fem"] * 2


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (["four"], "three four"),
        (["two three"], "two three"),
        ([], "one two"),
        (["nowhere"], None),
        (["nowhere", "FIVE"], "five"),
        (["one two three"], "one two"),
    ],
)
def test_passage(answer, expected):
    assert passage("one two three four five", 2, answer) == expected


def test_an_unknown_id_in_the_qrels_stops_with_its_line(folder):
    with (folder / "qrels" / "train.tsv").open("a") as file:
        file.write("q9\td1\t1\n")
    with pytest.raises(UserError, match=r"train\.tsv: line 5 .*q9"):
        read_all("beir", folder)


def test_a_duplicate_document_id_stops_with_its_line(folder):
    with (folder / "corpus.jsonl").open("a") as file:
        file.write('\n{"_id": "d1", "text": "again"}\n')
    with pytest.raises(UserError, match=r"corpus\.jsonl: line 4 .*d1"):
        read_all("beir", folder)
