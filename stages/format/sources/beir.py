"""Reads a BEIR folder as pairs: each query of qrels/<split>.tsv with each of its relevant documents."""

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
from stages.rows.parquet import READ_ROWS

UNKNOWN_ID, NOT_RELEVANT = "qrels name an unknown id", "not relevant, or repeated"
NOT_TRAINED = "documents of the corpus are not trained on, as no training query names them"


def read(raw: RawFolder, split: Split, options: Options) -> Iterator[Chunk]:
    """Yield (query, document) pairs; the documents (title before text) are held in memory.

    ``options.split`` names the qrels of the training rows; dev rows come from qrels/dev.tsv if it exists. Rows of the qrels that name
    unknown ids are dropped and counted; a share above ``options.unknown_ids`` raises `UserError`. A query's first answer (its field
    ``answer`` or ``answers``) goes with its rows.
    """
    training = options.split or "train"
    if split == "dev" and (training == "dev" or not (raw.path / "qrels" / "dev.tsv").exists()):
        return
    qrels_path = qrels_file(raw.path, training if split == "train" else "dev")
    corpus = read_corpus(raw.path / "corpus.jsonl")
    queries = read_queries(raw.path / "queries.jsonl")
    answers = _answers(raw.path / "queries.jsonl")
    qrels, unknown = read_qrels(tsv_rows(qrels_path), queries, corpus, options.unknown_ids)
    if unknown.ignored:
        print(f"{qrels_path}: {unknown}; they are ignored", flush=True)
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
        part = pairs[start : start + READ_ROWS]
        anchors, positives = [queries[query] for query, _ in part], [corpus[document] for _, document in part]
        answer = pa.array([answers.get(query) for query, _ in part], pa.string()) if answers else None
        rows = chunk(pa.array(anchors, pa.string()), pa.array(positives, pa.string()), language=options.language, answer=answer)
        yield replace(rows, dropped=+dropped, notes=+notes)
        dropped, notes = Dropped(), Counter()


def _answers(path: Path) -> dict[str, str]:
    """Query id → its first answer, for the queries that have any."""
    rows = ((row_id(where, row), [*answer_texts(row.get("answer")), *answer_texts(row.get("answers"))]) for where, row in jsonl_rows(path))
    return {identifier: texts[0] for identifier, texts in rows if texts}
