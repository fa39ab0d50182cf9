"""The queries gained and lost are against the better BM25 of their set."""

from pathlib import Path

import pyarrow.parquet as pq

from stages.report.queries import SHOWN, read_queries
from tests.made_run import row, write_queries
from tests.refused import refused


def test_the_queries_gained_and_lost_most_come_first(tmp_path: Path) -> None:
    rows = [row(f"q{place}", f"query {place}", place / 20, 0.5) for place in range(21)]
    write_queries(tmp_path / "one.parquet", rows)
    write_queries(tmp_path / "two__small.parquet", [row("best", "query", 1.0, 0.0)])
    counts, gained, lost = read_queries(tmp_path, ["one", "two/small", "not written"])
    assert [(count.wins, count.ties, count.losses) for count in counts] == [(10, 1, 10), (1, 0, 0)]
    assert [(query.set_name, query.difference) for query in gained[:2]] == [("two/small", 1.0), ("one", 0.5)]
    assert len(gained) == len(lost) == SHOWN
    assert [query.values["query_id"] for query in lost[:2]] == ["q0", "q1"]


def test_the_baseline_is_the_better_bm25_of_the_set(tmp_path: Path) -> None:
    write_queries(tmp_path / "set.parquet", [row("q", "query", 0.5, 0.0) | {"bm25_stemmed_ndcg@10": 1.0, "bm25_stemmed_rank": 1}])
    counts, gained, [lost] = read_queries(tmp_path, ["set"])
    assert (counts[0].baseline, gained, lost.scores, lost.ranks) == ("bm25_stemmed", [], (0.5, 1.0), (1, 1))


def test_a_set_without_a_score_of_bm25_or_without_queries_is_passed_over(tmp_path: Path) -> None:
    whole = row("q", "query", 0.5, 0.0)
    write_queries(tmp_path / "alone.parquet", [{key: value for key, value in whole.items() if not key.startswith("bm25")}])
    write_queries(tmp_path / "empty.parquet", [whole])
    pq.write_table(pq.read_table(tmp_path / "empty.parquet").slice(0, 0), tmp_path / "empty.parquet")
    assert read_queries(tmp_path, ["alone", "empty"]) == ([], [], [])


def test_half_a_file_is_named(tmp_path: Path) -> None:
    write_queries(tmp_path / "set.parquet", [row("q", "query", 0.5, 0.0)])
    (tmp_path / "set.parquet").write_bytes((tmp_path / "set.parquet").read_bytes()[:100])
    with refused("set.parquet", "not a complete parquet file", "`dvc repro`"):
        read_queries(tmp_path, ["set"])


def test_a_term_that_a_text_lacks_is_named_an_expansion(tmp_path: Path) -> None:
    write_queries(tmp_path / "set.parquet", [row("q", "Finnes det ærfugl?", 1.0, 0.0)])
    _, [query], _ = read_queries(tmp_path, ["set"])
    assert [(term["term"], term["product"], term["note"]) for term in query.terms("relevant")] == [
        ("-fugl", 3.0, ""),
        ("måke", 0.5, "in neither text"),
    ]
    assert ("fugl", True) in query.text("query")
    assert ("fugl", True) in query.text("relevant")


def test_a_latent_has_no_word_and_gets_no_note(tmp_path: Path) -> None:
    terms = [{"term": "latent 7", "query": 1.0, "document": 1.0}]
    write_queries(tmp_path / "set.parquet", [row("q", "ærfugl", 1.0, 0.0) | {"relevant_terms": terms, "top_terms": None}])
    _, [query], _ = read_queries(tmp_path, ["set"])
    assert (query.terms("relevant")[0]["note"], query.terms("top")) == ("", [])
