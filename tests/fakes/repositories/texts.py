"""Texts for the repositories: those of the built-in sample in four languages, and English ones; all facts and names are invented."""

import tempfile
from functools import cache
from pathlib import Path

import pyarrow.parquet as pq

from stages import sample
from stages.sample.ddsc import LANGUAGE_NAMES
from tests.fakes.repositories.layout import Row

TOWNS = ("Ashcombe", "Birchley", "Corrin", "Dunmere", "Elstow", "Fenwick", "Garth", "Haverly", "Inchmoor", "Kelmarsh", "Lindow", "Marrick")
PLACES = ("library", "swimming pool", "bakery", "museum", "pharmacy", "town hall", "cinema", "post office")
FACTS = (
    ("When does the {place} in {town} open?", "The doors of the {place} in {town} are unlocked at {number} o'clock on weekdays."),
    ("Who runs the {place} in {town}?", "Morwen Tallis has been in charge of the {place} in {town} for {number} years."),
    ("How many people work at the {place} in {town}?", "A staff of {number} looks after visitors to the {place} in {town}."),
    ("Where can I park near the {place} in {town}?", "Behind the {place} in {town} lie {number} marked spaces for cars."),
)


@cache
def triplets() -> list[Row]:
    """Bokmål: anchor, positive, negative; no anchor and no positive comes twice."""
    return _sample("nli", "train")


@cache
def questions(language: str) -> list[Row]:
    """id, title, context, question, answers as in SQuAD; about five questions stand together on one context."""
    return _sample("qa", f"{language}/train")


@cache
def pairs(language: str) -> list[Row]:
    """Rows of DDSC's form in one language; the query and the positive are a question and its answer or two wordings."""
    rows = [row for row in _sample("ddsc", "train") if row["language"] == LANGUAGE_NAMES[language] and row["task"] != "classification"]
    unique: dict[str, Row] = {}
    for row in rows:
        if row["query"] not in unique and row["positive"] not in {each["positive"] for each in unique.values()}:
            unique[row["query"]] = row
    return list(unique.values())


@cache
def search(language: str) -> tuple[dict[str, str], list[tuple[str, str]]]:
    """The documents of the built-in evaluation set by id, and (question, id of a document that answers it), all different."""
    with tempfile.TemporaryDirectory() as folder:
        sample.write_set("sample", Path(folder))
        split = f"NanoSample{language.capitalize()}-00000-of-00001.parquet"
        corpus, queries, qrels = (pq.read_table(Path(folder) / part / split).to_pylist() for part in ("corpus", "queries", "qrels"))
    asked = {row["_id"]: row["text"] for row in queries}
    answer = {row["corpus-id"]: row["query-id"] for row in qrels}  # one query a document, then one document a query
    documents = {query: document for document, query in answer.items()}
    return {row["_id"]: row["text"] for row in corpus}, [(asked[query], document) for query, document in documents.items()]


def english() -> list[tuple[str, str]]:
    """(question, answer) pairs, all different."""
    places = [{"place": place, "town": town, "number": str(2 + len(town) + len(place))} for town in TOWNS for place in PLACES]
    return [(question.format(**each), answer.format(**each)) for question, answer in FACTS for each in places]


def _sample(name: str, file: str) -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        sample.write_set(name, Path(folder))
        rows: list[Row] = pq.read_table(Path(folder) / f"{file}.parquet").to_pylist()
    return rows
