import json

import pytest

from stages.format.sources import reader
from stages.format.sources.beir import NOT_TRAINED
from stages.format.sources.chunk import Options
from stages.format.sources.folder import RawFolder
from tests.refused import refused
from tests.unit.format.sources.conftest import read_all


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
    assert rows[0] == {
        "anchor": "spørsmål 1",
        "positive": "T1 tekst 1 en to tre fire fem",
        "negative": None,
        "answer": "fire",
        "language": "sv",
    }
    assert [row["anchor"] for row in rows] == ["spørsmål 1", "spørsmål 2"]


def test_without_dev_qrels_there_are_no_dev_rows(folder):
    assert read_all("beir", folder, "dev")[0] == []


def test_documents_that_no_training_query_names_are_noted(folder):
    [note] = [chunk.notes for chunk in reader("beir")(RawFolder(folder), "train", Options()) if chunk.notes]
    assert note == {NOT_TRAINED: 1}


def test_the_split_chooses_the_qrels(folder):
    assert [row["anchor"] for row in read_all("beir", folder, split="train")[0]] == ["spørsmål 1", "spørsmål 2"]
    chunks = list(reader("beir")(RawFolder(folder), "train", Options(split="test")))
    assert [text for chunk in chunks for text in chunk.rows["anchor"].to_pylist()] == ["spørsmål 3"]


@pytest.mark.parametrize(
    "answer",
    [
        {"answer": "fem"},
        {"answer": ["", "fem"]},
        {"answers": ["fem", "seks"]},
        {"answers": {"text": ["fem"], "answer_start": [15]}},
        {"answers": [{"text": "fem", "answer_start": 15}]},
    ],
)
def test_a_querys_first_answer_of_every_form_goes_with_its_rows(folder, answer):
    queries = [{"_id": " q1 ", "text": "spørsmål", **answer}, {"_id": "q2", "text": "annet"}]
    (folder / "queries.jsonl").write_text("\n".join(map(json.dumps, queries)), encoding="utf-8")
    (folder / "qrels" / "train.tsv").write_text("query-id\tcorpus-id\tscore\nq1\td1\t1\nq2\td2\t1\n", encoding="utf-8")
    assert [row["answer"] for row in read_all("beir", folder)[0]] == ["fem", None]


def test_without_any_answer_there_is_no_column_for_it(folder):
    (folder / "queries.jsonl").write_text("\n".join(json.dumps({"_id": f"q{i}", "text": f"spørsmål {i}"}) for i in (1, 2)))
    assert "answer" not in read_all("beir", folder)[0][0]


def add_qrels(folder, *rows):
    with (folder / "qrels" / "train.tsv").open("a") as file:
        file.writelines(f"{query}\t{document}\t1\n" for query, document in rows)


def test_many_unknown_ids_in_the_qrels_are_refused_in_one_line(folder):
    add_qrels(folder, ("q9", "d1"))
    with refused("train.tsv", "line 5", "q9", "1 of 4 rows"):
        read_all("beir", folder)


def test_a_few_unknown_ids_in_the_qrels_are_dropped_counted_and_named_once(folder, capsys):
    add_qrels(folder, *[("q1", "d1")] * 30, ("q9", "d1"), ("q2", "d8"))
    rows, dropped = read_all("beir", folder)
    assert [row["anchor"] for row in rows] == ["spørsmål 1", "spørsmål 2"]
    assert dropped == {"qrels name an unknown id": 2, "not relevant, or repeated": 31}
    [line] = capsys.readouterr().out.splitlines()
    assert "2 of 35 rows of the qrels name unknown ids (query 'q9', document 'd8')" in line


def test_the_share_of_unknown_ids_is_the_sets_choice(folder):
    add_qrels(folder, ("q9", "d1"))
    assert read_all("beir", folder, unknown_ids=0.25)[1] == {"qrels name an unknown id": 1, "not relevant, or repeated": 1}


def test_a_split_that_does_not_exist_is_answered_with_those_that_do(folder):
    with refused("qrels/trainn.tsv", "no such file", ": test, train"):
        list(reader("beir")(RawFolder(folder), "train", Options(split="trainn")))


def test_a_duplicate_document_id_stops_with_its_line(folder):
    with (folder / "corpus.jsonl").open("a") as file:
        file.write('\n{"_id": "d1", "text": "again"}\n')
    with refused("corpus.jsonl", "line 4", "d1", "second time"):
        read_all("beir", folder)


def test_judged_rows_that_give_no_pair_are_counted(folder):
    assert read_all("beir", folder)[1] == {"not relevant, or repeated": 1}
