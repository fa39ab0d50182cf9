"""The evaluation set: NanoBEIR's form, unknown to training, and a fair opponent for BM25."""

import math
import re
import unicodedata
from collections import Counter
from pathlib import Path

import bm25s
import pytest

from stages.sample.evaluation import SPLITS
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
    assert all(400 <= documents <= 600 and queries >= 50 for documents, queries in sizes.values())
    assert sum(queries for _, queries in sizes.values()) >= 150


@pytest.mark.parametrize("split", SPLITS.values())
def test_qrels_name_existing_ids_and_leave_no_query_out(rows, split: str) -> None:
    corpus, queries, qrels = split_rows(rows, split)
    assert {document for _, document in qrels} <= set(corpus)
    assert {query for query, _ in qrels} == set(queries)


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
        assert not set(words["towns_train"]) & set(words["towns_eval"])
        assert not set(words["surnames_train"]) & set(words["surnames_eval"])
        assert len(set(words["towns_eval"])) == len(words["towns_eval"])


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
    ids, relevant = list(corpus), dict(qrels)
    gains = []
    for query, ranking in zip(queries, found, strict=True):
        ranks = [rank for rank, document in enumerate(ranking) if ids[document] == relevant[query]]
        gains.append(sum(1 / math.log2(rank + 2) for rank in ranks))
    assert 0.45 <= sum(gains) / len(gains) <= 0.75


def test_the_folder_loads_as_a_data_set_without_the_network(written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    from datasets import load_dataset

    for split in SPLITS.values():
        for subset, columns in (("corpus", {"_id", "text"}), ("queries", {"_id", "text"})):
            table = load_dataset(str(written / "sample"), subset, split=split, cache_dir=str(tmp_path))
            assert set(table.column_names) == columns and len(table) > 0
        qrels = load_dataset(str(written / "sample"), "qrels", split=split, cache_dir=str(tmp_path))
        assert {"query-id", "corpus-id"} <= set(qrels.column_names)
