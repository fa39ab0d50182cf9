"""A BEIR folder: the queries of qrels/<split>.tsv with each document that is relevant for them, as a whole or as one passage."""

from collections.abc import Iterator
from itertools import islice, repeat
from pathlib import Path
from typing import Any

import pyarrow as pa

from stages.beir import read_corpus, read_jsonl, read_qrels, read_queries
from stages.rows.parquet import READ_ROWS
from stages.sources.chunk import Chunk, Options, Split, chunk


def read(raw: Path, split: Split, options: Options) -> Iterator[Chunk]:
    """(query, document) pairs; the documents (title before text) are held in memory.

    ``options.split`` names the qrels of the training rows; those of dev are qrels/dev.tsv where it exists. With
    ``passage_words`` a document becomes the passage that holds the query's ``answer`` field, or its first where there
    is no such field or passage.
    """
    qrels_path = raw / "qrels" / f"{options.split or 'train' if split == 'train' else 'dev'}.tsv"
    if split == "dev" and (options.split == "dev" or not qrels_path.exists()):
        return
    corpus = read_corpus(raw / "corpus.jsonl")
    queries = read_queries(raw / "queries.jsonl")
    qrels = read_qrels(qrels_path, queries, corpus)
    answers = _answers(raw / "queries.jsonl") if options.passage_words else {}
    pairs = ((query, document) for query, documents in qrels.items() for document in documents)
    while some := list(islice(pairs, READ_ROWS)):
        anchors = [queries[query] for query, _ in some]
        positives = [corpus[document] for _, document in some]
        if options.passage_words:
            wanted = [answers.get(query) for query, _ in some]
            positives = [passage(*pair) for pair in zip(positives, repeat(options.passage_words), wanted, strict=False)]
        yield chunk(pa.array(anchors, pa.string()), pa.array(positives, pa.string()), language=options.language)


def passage(text: str, words: int, answer: str | None) -> str:
    """``words`` words of the text: of its consecutive passages the one where ``answer`` first stands, else the first.

    Where the answer runs over the end of its passage, the window is moved so that it stands in the middle.

    >>> passage("one two three four five", 2, "four")
    'three four'
    >>> passage("one two three four five", 2, "two three")
    'two three'
    """
    tokens = text.split()
    folded, wanted = " ".join(tokens).casefold(), " ".join((answer or "").split()).casefold()
    place = folded.find(wanted) if wanted else -1
    if place < 0:
        return " ".join(tokens[:words])
    first = folded.count(" ", 0, place)
    length = wanted.count(" ") + 1
    start = first // words * words
    if first + length > start + words:
        start = max(0, first - max(0, words - length) // 2)
    return " ".join(tokens[start : start + words])


def _answers(path: Path) -> dict[str, str]:
    rows: Iterator[tuple[int, dict[str, Any]]] = read_jsonl(path)
    return {str(row["_id"]): row["answer"] for _, row in rows if isinstance(row.get("answer"), str)}
