"""Reads a BEIR folder as pairs: each query of qrels/<split>.tsv with each of its relevant documents, whole or cut to one passage."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow as pa

from stages.format.sources.answers import answer_texts
from stages.format.sources.chunk import Chunk, Options, chunk
from stages.format.sources.folder import RawFolder
from stages.hub.splits import Split
from stages.retrieval.beir import jsonl_rows, qrels_file, read_corpus, read_qrels, read_queries, row_id, tsv_rows
from stages.rows.dropping import UNKNOWN, Dropped
from stages.rows.normalisation import fold
from stages.rows.parquet import READ_ROWS

UNKNOWN_ID, NOT_RELEVANT = "qrels name an unknown id", "not relevant, or repeated"
NO_ANSWER, NOT_FOUND = "query has no answer", "answer not found in document"
NOT_TRAINED = "documents of the corpus are not trained on, as no training query names them"
FIRST_PASSAGE = "first passage, as no query has an answer"


def read(raw: RawFolder, split: Split, options: Options) -> Iterator[Chunk]:
    """Yield (query, document) pairs; the documents (title before text) are held in memory.

    ``options.split`` names the qrels of the training rows; dev rows come from qrels/dev.tsv if it exists. Rows of the qrels that name
    unknown ids are dropped and counted; a share above ``options.unknown_ids`` raises `UserError`. If ``passage_words`` is set, a longer
    document is cut to the passage with an answer to the query (its field ``answer`` or ``answers``); a row is dropped if its query has
    no answer or its document holds none. If no query has an answer, documents are cut to their first passage, with a warning.
    """
    training = options.split or "train"
    if split == "dev" and (training == "dev" or not (raw.path / "qrels" / "dev.tsv").exists()):
        return
    qrels_path = qrels_file(raw.path, training if split == "train" else "dev")
    corpus = read_corpus(raw.path / "corpus.jsonl")
    queries = read_queries(raw.path / "queries.jsonl")
    qrels, unknown = read_qrels(tsv_rows(qrels_path), queries, corpus, options.unknown_ids)
    if unknown.ignored:
        print(f"{qrels_path}: {unknown}; they are ignored", flush=True)
    answers = _answers(raw.path / "queries.jsonl") if options.passage_words else {}
    for path in (raw.path / "qrels").glob("*.tsv"):
        raw.leave_out(raw.name(path), "qrels of a split that is not trained on")
    for name, texts in {"corpus.jsonl": corpus, "queries.jsonl": queries}.items():
        raw.leave_out(name, f"{len(texts)} texts, which the qrels name by id")
    raw.count(raw.name(qrels_path), split, unknown.rows)
    pairs = [(query, document) for query, grades in qrels.items() for document, grade in grades.items() if grade > 0]
    language = options.language or UNKNOWN
    dropped = Dropped({(UNKNOWN_ID, language): unknown.ignored, (NOT_RELEVANT, language): unknown.rows - unknown.ignored - len(pairs)})
    notes = Counter({NOT_TRAINED: len(corpus) - len({document for _, document in pairs})} if split == "train" else {})
    for start in range(0, max(1, len(pairs)), READ_ROWS):
        anchors, positives = [], []
        for query, document in pairs[start : start + READ_ROWS]:
            text: str | None = corpus[document]
            if options.passage_words and len(corpus[document].split()) > options.passage_words:
                notes[FIRST_PASSAGE] += not answers
                lacks_answer = answers and query not in answers
                text = None if lacks_answer else passage(corpus[document], options.passage_words, answers.get(query, []))
            if text is None:
                dropped[NOT_FOUND if query in answers else NO_ANSWER, language] += 1
            else:
                anchors.append(queries[query])
                positives.append(text)
        if notes[FIRST_PASSAGE]:
            raw.warn("passage_words: no query has an answer (a field answer or answers), so each long document becomes its first passage")
        rows = chunk(pa.array(anchors, pa.string()), pa.array(positives, pa.string()), language=options.language)
        yield replace(rows, dropped=+dropped, notes=+notes)
        dropped, notes = Dropped(), Counter()


def passage(text: str, words: int, answers: list[str]) -> str | None:
    """Cut a text to the passage of ``words`` words that holds an answer; None if the text holds none of the answers.

    The text is divided into consecutive passages; the first answer that occurs in the text decides, by its first occurrence. If it
    crosses the end of its passage, the passage is moved to have it in the middle. Without answers, the first passage is returned.

    >>> passage("one two three four five", 2, ["four"])
    'three four'
    >>> passage("one two three four five", 2, ["six", "two three"])
    'two three'
    >>> passage("since 1814 there were 14 men", 2, ["14"])
    '14 men'
    """
    tokens = text.split()
    if not answers:
        return " ".join(tokens[:words])
    folded = fold(text)
    found = _find(folded, [re.escape(fold(answer)) for answer in answers])
    if found is None:
        return None
    wanted, first = found[0], folded.count(" ", 0, found.start())
    length = wanted.count(" ") + 1
    start = first // words * words
    if first + length > start + words:
        start = max(0, first - max(0, words - length) // 2)
    return " ".join(tokens[start : start + words])


def _find(text: str, patterns: list[str]) -> re.Match[str] | None:
    """The first match of the first pattern that occurs in ``text``; matches of whole words are preferred to those within a word."""
    tries = [rf"(?<!\w){pattern}(?!\w)" for pattern in patterns] + patterns
    return next((found for each in tries if (found := re.search(each, text))), None)


def _answers(path: Path) -> dict[str, list[str]]:
    """Query id → answers, for the queries that have any."""
    answers = {}
    for where, row in jsonl_rows(path):
        if texts := [*answer_texts(row.get("answer")), *answer_texts(row.get("answers"))]:
            answers[row_id(where, row)] = texts
    return answers
