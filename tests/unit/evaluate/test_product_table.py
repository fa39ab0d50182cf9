"""The table of graded product searches."""

from stages.evaluate.graded import graded_scores
from stages.evaluate.product_table import product_rows
from stages.retrieval.sets import retrieval_set


def test_each_system_of_a_graded_set_is_a_row() -> None:
    grades = {"q": {"e": 1.0, "s": 0.7, "i": 0.0}}
    shop = retrieval_set(
        "shop", None, {"q": "query"}, dict.fromkeys("esi", "text"), grades, "here", recalls={"exact": 1.0, "exact_substitute": 0.6}
    )
    runs = {"model": {"q": {"e": 2.0, "s": 1.0}}, "bm25": {"q": {"i": 1.0}}, "bm25_stemmed": {"q": {"s": 1.0}}}
    metrics = {"ndcg@10": 1.0, "bm25_ndcg@10": 0.0, **graded_scores(runs, shop)}
    header, *rows = product_rows({"plain": {"ndcg@10": 0.5}, "shop": metrics})
    assert header[:4] == ["products", "system", "nDCG@10", "condensed"] and {len(row) for row in rows} == {len(header)}
    assert [row[:3] for row in rows] == [["shop", "model", "1.000"], ["shop", "BM25", "0.000"], ["shop", "BM25, stemmed", "–"]]
    assert rows[2][header.index("recall E+S@10")] == "0.500"


def test_without_graded_sets_there_is_no_table() -> None:
    assert product_rows({"plain": {"ndcg@10": 0.5, "ndcg@10_condensed": 0.5}}) == []
