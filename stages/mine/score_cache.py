"""Keeps a teacher's scores in an SQLite file, because scoring is what mining spends its time on.

A pair that was scored before, by an interrupted run or with other negatives, is not scored again. One file belongs to one teacher: its
name must tell everything that changes a score. The last digit of a score depends on the texts in one batch with it, so a score from the
file may differ there from a new one. Memory does not grow with the file.
"""

import sqlite3
from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path

import numpy as np

from stages.mine.teacher import Pair, Teacher


def cached(teacher: Teacher, path: Path, pairs: Sequence[Pair]) -> np.ndarray:
    """The scores of ``pairs``, shape (pairs,): those in the file at ``path``, and new ones, which are added to it portion by portion."""
    path.parent.mkdir(parents=True, exist_ok=True)
    database = sqlite3.connect(path)
    try:
        with database:
            database.execute("CREATE TABLE IF NOT EXISTS scores (pair BLOB PRIMARY KEY, score REAL) WITHOUT ROWID")
        keys = [key(pair) for pair in pairs]
        missing = {name: pair for name, pair in zip(keys, pairs, strict=True) if _find(database, name) is None}
        names = list(missing)
        for start in range(0, len(names), teacher.portion):
            some = names[start : start + teacher.portion]
            scores = teacher([missing[name] for name in some]).tolist()
            with database:  # one transaction
                database.executemany("INSERT INTO scores VALUES (?, ?)", zip(some, scores, strict=True))
        found = [_find(database, name) for name in keys]
    finally:
        database.close()
    return np.array([row[0] if row and row[0] is not None else np.nan for row in found], dtype=np.float64)  # SQLite has no NaN, but null


def _find(database: sqlite3.Connection, name: bytes) -> tuple[float | None] | None:
    row: tuple[float | None] | None = database.execute("SELECT score FROM scores WHERE pair = ?", (name,)).fetchone()
    return row


def key(pair: Pair) -> bytes:
    """16 bytes that stand for a pair of texts."""
    query, document = (text.encode(errors="surrogatepass") for text in pair)
    return blake2b(len(query).to_bytes(8, "little") + query + document, digest_size=16).digest()
