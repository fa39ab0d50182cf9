"""The evaluation set: NanoBEIR's form, unknown to training, and a fair opponent for BM25."""

import math
import re
import unicodedata
from collections import Counter
from itertools import product
from pathlib import Path

import bm25s
import pytest

from stages.sample.evaluation import SPLITS, make_split, make_towns
from stages.sample.lexicon import LANGUAGES, load

TEXT_COLUMNS = {
    "nli/*.parquet": ("anchor", "positive", "negative"),
    "qa/*/*.parquet": ("title", "context", "question"),
    "ddsc/*.parquet": ("query", "positive", "negative", "instruction", "prompt", "response"),
    "esci/*.parquet": ("query", "product_title", "product_description", "product_bullet_point"),
}
COMMON = {"alle", "skal", "till", "från", "over", "över", "efter", "etter"}


def normalised(text: str) -> str:
    return " ".join(unicodedata.normalize("NFC", text).casefold().split())


def content_words(text: str, place: str) -> set[str]:
    """The words of four letters and more, without the town and the words that every text may hold."""
    return {word for word in re.findall(r"\w+", text.lower()) if len(word) > 3} - set(place.lower().split()) - COMMON


def split_rows(rows, split: str) -> tuple[dict[str, str], dict[str, str], list[tuple[str, str]]]:
    corpus = {row["_id"]: row["text"] for row in rows(f"sample/corpus/{split}-*.parquet")}
    queries = {row["_id"]: row["text"] for row in rows(f"sample/queries/{split}-*.parquet")}
    qrels = [(row["query-id"], row["corpus-id"]) for row in rows(f"sample/qrels/{split}-*.parquet")]
    return corpus, queries, qrels


def test_there_are_enough_queries_and_documents(rows) -> None:
    sizes = {split: [len(part) for part in split_rows(rows, split)[:2]] for split in SPLITS.values()}
    assert all(documents >= 1_500 and queries >= 200 for documents, queries in sizes.values())
    assert 5_000 <= sum(documents for documents, _ in sizes.values()) <= 8_000  # more would make the sample's evaluation slow


@pytest.mark.parametrize("split", SPLITS.values())
def test_many_queries_have_one_relevant_document_and_many_several(rows, split: str) -> None:
    counts = Counter(query for query, _ in split_rows(rows, split)[2])
    one = sum(count == 1 for count in counts.values()) / len(counts)
    assert 0.3 < one < 0.7 and max(counts.values()) >= 3


@pytest.mark.parametrize("split", SPLITS.values())
def test_qrels_name_existing_ids_and_leave_no_query_out(rows, split: str) -> None:
    corpus, queries, qrels = split_rows(rows, split)
    assert {document for _, document in qrels} <= set(corpus)
    assert {query for query, _ in qrels} == set(queries)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_document_of_the_town_states_an_asked_fact_if_and_only_if_it_is_relevant(language: str) -> None:
    """Read from the texts: the fact's sentences in every wording and under every name of the institution, with its values."""
    for town in make_towns(load(language), 0):
        texts = [f" {normalised(document.text)}" for document in town.documents]
        for fact, told in town.told.items():
            if not told.query:
                continue
            forms = product(range(len(fact.documents)), range(len(fact.nouns)), (True, False))
            sentences = [f" {normalised(told.statement.document(*form).text)}" for form in forms]
            for document, text in zip(town.documents, texts, strict=True):
                assert any(sentence in text for sentence in sentences) == (fact in document.facts), (told.query, document.text)


@pytest.mark.parametrize("language", LANGUAGES)
def test_exactly_the_documents_that_state_the_asked_fact_of_the_asked_town_are_judged(language: str) -> None:
    split, judged = make_split(load(language), 0), 0
    for town in make_towns(load(language), 0):
        for fact, told in town.told.items():
            if told.query:
                [key] = [key for key, text in split.queries.items() if text == told.query]
                relevant = sorted(document.text for document in town.documents if fact in document.facts)
                assert sorted(split.corpus[document] for document in split.qrels[key]) == relevant
                assert town.name in told.query and all(town.name in text for text in relevant)
                judged += 1
    assert judged == len(split.queries)


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_query_stands_among_near_topics(language: str) -> None:
    """The institution's other facts, the fact of other institutions, and the fact of other towns."""
    towns = make_towns(load(language), 0)
    for town in towns:
        asked = [fact for fact, told in town.told.items() if told.query]
        assert all(sum(other.topic == fact.topic for other in town.told) >= 8 for fact in asked)
        assert sum(sum(other.aspect == fact.aspect for other in town.told) >= 6 for fact in asked) >= 3
        assert all(sum(fact in other.told for other in towns) >= 3 for fact in asked)


@pytest.mark.parametrize("split", SPLITS.values())
def test_no_text_stands_twice(rows, split: str) -> None:
    corpus, queries, _ = split_rows(rows, split)
    assert len({normalised(text) for text in corpus.values()}) == len(corpus)
    assert len({normalised(text) for text in queries.values()}) == len(queries)


def test_no_evaluation_text_is_in_the_training_data(rows) -> None:
    seen = {
        normalised(row[column])
        for pattern, columns in TEXT_COLUMNS.items()
        for row in rows(pattern)
        for column in columns
        if row[column] is not None
    }
    for split in SPLITS.values():
        corpus, queries, _ = split_rows(rows, split)
        assert not {normalised(text) for text in [*corpus.values(), *queries.values()]} & seen


def test_towns_and_surnames_of_the_evaluation_are_its_own() -> None:
    for language in LANGUAGES:
        words = load(language).words
        alike = [town for group in words["towns_alike"] for town in group]
        towns = [town.split(" ", 1)[1] for town in [*words["towns_train"], *words["towns_eval"], *alike]]
        assert len(set(towns)) == len(towns)
        assert not set(words["surnames_train"]) & set(words["surnames_eval"])


def test_wordings_joined_in_the_evaluation_are_never_joined_in_training() -> None:
    for language in LANGUAGES:
        for facts in load(language).facts.values():
            for fact in facts:
                held, trained = set(fact.pairs(held_out=True)), set(fact.pairs(held_out=False))
                assert held and trained and not held & trained
                # Every wording of the evaluation is known from some other pair.
                assert {i for i, _ in held} <= {i for i, _ in trained}
                assert {j for _, j in held} <= {j for _, j in trained}


def test_a_question_and_its_document_share_no_content_word(rows) -> None:
    """Judged on the wordings themselves: names of institutions and towns are slots."""
    shared = []
    for language in LANGUAGES:
        for facts in load(language).facts.values():
            for fact in facts:
                for i, j in fact.pairs(held_out=True):
                    words = [content_words(re.sub(r"\{[nNp]\}", "", text), "") for text in (fact.questions[i], fact.documents[j])]
                    shared += [(language, fact.topic, fact.aspect, word) for word in sorted(words[0] & words[1])]
    assert not shared


@pytest.mark.parametrize("split", SPLITS.values())
def test_queries_are_worded_otherwise_than_their_documents(rows, split: str) -> None:
    corpus, queries, qrels = split_rows(rows, split)
    towns = Counter(word for text in queries.values() for word in re.findall(r"[A-ZÆØÅÄÖ]\w+(?=\?)", text))
    overlaps = []
    for query, document in qrels:
        asked = content_words(queries[query], " ".join(towns))
        overlaps.append(len(asked & content_words(corpus[document], "")) / max(1, len(asked)))
    assert sum(overlaps) / len(overlaps) < 0.3


@pytest.mark.parametrize("split", SPLITS.values())
def test_bm25_is_a_fair_opponent(rows, split: str) -> None:
    corpus, queries, qrels = split_rows(rows, split)
    index = bm25s.BM25()
    index.index(bm25s.tokenize(list(corpus.values()), stopwords=None, show_progress=False), show_progress=False)
    tokens = bm25s.tokenize(list(queries.values()), stopwords=None, show_progress=False)
    found, _ = index.retrieve(tokens, k=10, show_progress=False)
    ids, relevant = list(corpus), set(qrels)
    gains = []
    for query, ranking in zip(queries, found, strict=True):
        ranks = [rank for rank, document in enumerate(ranking) if (query, ids[document]) in relevant]
        ideal = min(10, sum(each == query for each, _ in qrels))
        gains.append(sum(1 / math.log2(rank + 2) for rank in ranks) / sum(1 / math.log2(rank + 2) for rank in range(ideal)))
    assert 0.15 <= sum(gains) / len(gains) <= 0.35


def test_the_folder_loads_as_a_data_set_without_the_network(written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    from datasets import load_dataset

    for split in SPLITS.values():
        for subset, columns in (("corpus", {"_id", "text"}), ("queries", {"_id", "text"})):
            table = load_dataset(str(written / "sample"), subset, split=split, cache_dir=str(tmp_path))
            assert set(table.column_names) == columns and len(table) > 0
        qrels = load_dataset(str(written / "sample"), "qrels", split=split, cache_dir=str(tmp_path))
        assert {"query-id", "corpus-id"} <= set(qrels.column_names)
