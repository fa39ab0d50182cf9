"""Parts of the queries, by hand-made cases."""

import pytest

from stages.evaluate.slices import slices
from stages.retrieval.sets import RetrievalSet

CORPUS = {
    "library": "Biblioteket i Bodø åpner klokka ni",
    "pool": "Svømmehallen stenger klokka åtte",
    **{f"many{number}": f"katt nummer {number}" for number in range(6)},
}


def made(queries: dict[str, str], qrels: dict[str, dict[str, float]], language: str | None = "nb", name: str = "mine") -> RetrievalSet:
    return RetrievalSet(name, language, queries, CORPUS, qrels)


def parts(kind: str, *sets: tuple[RetrievalSet, dict[str, list[float]]]) -> dict[str, tuple[float, ...]]:
    return {part: tuple(values.values()) for part, values in slices(sets)[kind].items()}


def one(query: str, **grades: float) -> RetrievalSet:
    return made({"q": query}, {"q": dict(grades)})


def part_of(kind: str, query: str, **grades: float) -> str:
    [part] = parts(kind, (one(query, **grades), {"model": [0.5]}))
    return part


def test_queries_of_all_sets_are_pooled_by_language() -> None:
    first = made({"a": "bok", "b": "hus"}, {"a": {"library": 1}, "b": {"pool": 1}})
    second = made({"a": "bil"}, {"a": {"pool": 1}}, name="other")
    third = made({"c": "bok"}, {"c": {"library": 1}}, language=None)
    scores = [{"model": [1.0, 0.5], "bm25": [0.0, 0.5]}, {"model": [0.0], "bm25": [1.0]}, {"model": [0.25], "bm25": [0.75]}]
    found = slices(list(zip((first, second, third), scores, strict=True)))
    assert found["language"] == {
        "nb": {"queries": 3, "ndcg@10": 0.5, "bm25_ndcg@10": 0.5},
        "not given": {"queries": 1, "ndcg@10": 0.25, "bm25_ndcg@10": 0.75},
    }


def test_a_language_has_the_active_dimensions_of_its_queries_and_documents() -> None:
    first = made({"a": "bok", "b": "hus"}, {"a": {"library": 1}, "b": {"pool": 1}})
    second = RetrievalSet("other", "nb", {"a": "bil"}, {"pool": CORPUS["pool"]}, {"a": {"pool": 1}})
    third = made({"c": "bok"}, {"c": {"library": 1}}, language="da")
    metrics = [{"query_active_dims": query, "corpus_active_dims": corpus} for query, corpus in ((10, 100), (40, 10), (7, 70))]
    found = slices([(first, {"model": [1.0, 1.0]}), (second, {"model": [1.0]}), (third, {"model": [1.0]})], metrics)
    dims = {language: (part["query_active_dims"], part["corpus_active_dims"]) for language, part in found["language"].items()}
    assert dims == {"nb": ((2 * 10 + 40) / 3, (8 * 100 + 10) / 9), "da": (7, 70)}
    assert list(found["query length"]["1 to 3 words"]) == ["queries", "ndcg@10"]


@pytest.mark.parametrize(
    ("query", "part"),
    [
        ("bok", "1 to 3 words"),
        ("en ny bok", "1 to 3 words"),
        ("å en ny bok i", "1 to 3 words"),  # words of one letter are none to BM25
        ("når kommer en bok", "4 to 7 words"),
        ("én to tre fire fem seks sju", "4 to 7 words"),
        ("én to tre fire fem seks sju åtte", "8 or more words"),
        ("?", "1 to 3 words"),
    ],
)
def test_query_length_is_counted_in_words(query: str, part: str) -> None:
    assert part_of("query length", query, library=1) == part


@pytest.mark.parametrize(
    ("query", "grades", "part"),
    [
        ("bokutlån", {"library": 1}, "none"),
        ("?", {"library": 1}, "none"),
        ("når kan jeg bade klokka", {"pool": 1}, "fewer than half"),
        ("når åpner biblioteket her", {"library": 1}, "half or more"),
        ("BIBLIOTEKET Bodø", {"library": 1}, "all"),
        ("biblioteket biblioteket utlån", {"library": 1}, "half or more"),  # distinct words
        ("biblioteket bodø", {"pool": 1, "library": 1}, "all"),  # the relevant document with most of them
        ("biblioteket bodø", {"pool": 1, "library": 0}, "none"),
        ("biblioteket", {"gone": 1}, "none"),  # a document without text
        ("a\u030apner", {"library": 1}, "all"),  # decomposed å
    ],
)
def test_overlap_is_the_share_of_the_querys_words_in_a_relevant_document(query: str, grades: dict[str, float], part: str) -> None:
    assert part_of("query words in a relevant document", query, **grades) == part


@pytest.mark.parametrize(("count", "part"), [(1, "1"), (2, "2 to 5"), (5, "2 to 5"), (6, "6 or more")])
def test_relevant_documents_are_counted_without_those_of_grade_0(count: int, part: str) -> None:
    grades = {f"many{number}": 1 for number in range(count)} | {"library": 0}
    assert part_of("relevant documents", "katt", **grades) == part


def test_parts_stand_in_order_and_empty_ones_are_left_out() -> None:
    queries = {"a": "én to tre fire fem seks sju åtte", "b": "bok"}
    each = made(queries, {"a": {"pool": 1}, "b": {"pool": 1}})
    assert list(slices([(each, {"model": [0.0, 1.0]})])["query length"]) == ["1 to 3 words", "8 or more words"]


def test_only_systems_that_scored_all_sets_are_compared() -> None:
    scores = {"model": [1.0], "bm25": [0.5], "dense": [0.2]}
    found = slices([(one("bok", pool=1), scores), (one("hus", pool=1), {"model": [0.0], "bm25": [0.5]})])
    assert found["language"] == {"nb": {"queries": 2, "ndcg@10": 0.5, "bm25_ndcg@10": 0.5}}


def test_a_score_stays_with_its_query_whatever_the_order_and_what_follows_is_ignored() -> None:
    each = made({"b": "bok", "a": "hus og katt i by"}, {"a": {"many1": 1}, "b": {"library": 1}})
    assert parts("query length", (each, {"model": [0.25, 1.0, 0.0]})) == {"1 to 3 words": (1, 1.0), "4 to 7 words": (1, 0.25)}


def test_no_set_gives_no_part() -> None:
    assert slices([]) == {"language": {}, "query length": {}, "query words in a relevant document": {}, "relevant documents": {}}
