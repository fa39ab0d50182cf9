"""Tables of queries are paired by id and text, and their terms add up to why one document stands above another."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stages.evaluate.query_files import write_queries
from stages.evaluate.query_tables import QueryTable, margins, pair, read_tables
from stages.retrieval.sets import RetrievalSet
from tests.refused import refused


def content(path: Path) -> tuple[str, bytes]:
    return path.name, path.read_bytes()


def row(identifier: str, text: str, score: float, **more: Any) -> dict[str, Any]:
    return {"query_id": identifier, "query": text, "model_ndcg@10": score, **more}


def test_a_written_table_is_read_with_its_sets_name_and_the_queries_that_count_as_0(tmp_path: Path) -> None:
    retrieval_set = RetrievalSet("task/nob/test", None, {"1": "hva?"}, {"a": "t"}, {"1": {"a": 1.0}})
    write_queries(tmp_path, retrieval_set, {"model": {"1": {"a": 1.0}}}, None, lambda _: [], as_zero=3)
    [table] = read_tables([content(tmp_path / "task__nob__test.parquet")]).values()
    assert (table.name, table.documents, table.as_zero, table.rows[0]["query"]) == ("task/nob/test", 1, 3, "hva?")
    first, second = pair(table, table).scores()
    assert first.tolist() == second.tolist() == [1.0, 0.0, 0.0, 0.0]


def test_a_table_without_the_models_run_is_left_out(tmp_path: Path) -> None:
    retrieval_set = RetrievalSet("s", None, {"1": "hva?"}, {"a": "t"}, {"1": {"a": 1.0}})
    write_queries(tmp_path, retrieval_set, {"bm25": {"1": {"a": 1.0}}}, None, lambda _: [])
    assert read_tables([content(tmp_path / "s.parquet")]) == {}


def test_a_file_that_is_no_table_of_queries_is_named(tmp_path: Path) -> None:
    pq.write_table(pa.table({"anchor": ["a"]}), tmp_path / "train.parquet")
    with refused("train.parquet", "not a table of queries", "evaluate stage"):
        read_tables([content(tmp_path / "train.parquet")])
    with refused("half.parquet", "cannot be read", "`dvc repro`"):
        read_tables([("half.parquet", b"PAR1")])


def test_queries_are_paired_by_id_and_text_whatever_their_order() -> None:
    first = QueryTable("s", [row("1", "a", 0.1), row("2", "b", 0.2), row("3", "c", 0.3)], 50, 2)
    second = QueryTable("s", [row("3", "c", 0.5), row("2", "another", 0.6), row("1", "a", 0.7), row("4", "d", 0.8)], 60, 1)
    found = pair(first, second)
    assert [each["query_id"] for each in found.first] == [each["query_id"] for each in found.second] == ["1", "3"]
    assert (found.only_first, found.only_second, found.as_zero, found.documents) == (1, 2, 1, (50, 60))
    assert [scores.tolist() for scores in found.scores()] == [[0.1, 0.3, 0.0], [0.7, 0.5, 0.0]]


def test_margins_are_the_difference_of_the_two_scores_by_term() -> None:
    def term(name: str, query: float, document: float) -> dict[str, Any]:
        return {"term": name, "query": query, "document": document}

    found = margins({"relevant_terms": [term("by", 2, 3), term("hus", 1, 1)], "top_terms": [term("hus", 1, 1), term("vei", 4, 2)]})
    assert found == [("vei", -8.0), ("by", 6.0)]
    assert margins({"relevant_terms": None, "top_terms": None}) == []
    assert sum(margin for _, margin in found) == pytest.approx(7 - 9)
