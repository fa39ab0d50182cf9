"""A shop's products and judgements as a retrieval set: products.csv and judgements.csv, or the same as parquet.

Grades are those of ESCI, as words, letters or numbers, or numbers on your own scale (https://arxiv.org/abs/2206.06588). The text of
a product is the same as in training (`stages.rows.product`).
"""

import math
import unicodedata
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from stages.retrieval.beir import Qrels, Row, read_id, read_qrels
from stages.retrieval.sets import RetrievalSet, retrieval_set
from stages.retrieval.tables import table_file, table_rows
from stages.rows.normalisation import nfc
from stages.rows.product import PRODUCT_TOKENS, product_text
from stages.runtime.errors import UserError

GRADES = {"exact": 1.0, "substitute": 0.7, "complement": 0.5, "irrelevant": 0.0}
LETTERS = {word[0]: grade for word, grade in GRADES.items()}
EXACT, SUBSTITUTE = 1.0, 2 / 3
"""Shares of a set's highest grade from which on a product counts as exact, and as exact or a substitute."""
FIELDS = ("title", "brand", "description", "bullets")
PRODUCT = {
    "product_id": ("id", "product_id", "_id", "sku", "asin"),
    "title": ("title", "product_title", "name"),
    "brand": ("brand", "product_brand"),
    "description": ("description", "product_description"),
    "bullets": ("bullets", "bullet_points", "bullet_point", "product_bullet_point", "features"),
}
JUDGEMENT = {
    "query": ("query", "query_text"),
    "product_id": ("product_id", "id", "_id", "sku", "asin"),
    "grade": ("grade", "label", "esci_label", "relevance", "score"),
}
CHUNK = 4096  # products whose texts are made at a time


class Products:
    """The products of a shop, as texts of at most ``max_tokens`` tokens; None is the default of training."""

    def __init__(self, max_tokens: int | None = None) -> None:
        self._tokens = max_tokens or PRODUCT_TOKENS
        self._texts: dict[str, str] = {}
        self._waiting: dict[str, tuple[str | None, ...]] = {}

    def __contains__(self, identifier: object) -> bool:
        return identifier in self._texts or identifier in self._waiting

    def add(self, identifier: str, fields: tuple[str | None, ...]) -> None:
        """Add a product by its `FIELDS`; the bullets have one on each line."""
        self._waiting[identifier] = fields
        if len(self._waiting) == CHUNK:
            self.corpus()

    def corpus(self) -> dict[str, str]:
        """Product id → text, in the order of `add`."""
        if self._waiting:
            columns = zip(*self._waiting.values(), strict=True)
            title, brand, description, bullets = (pa.array(column, pa.string()) for column in columns)
            texts = nfc(product_text(title, brand, description, bullets, self._tokens)).to_pylist()
            self._texts.update(zip(self._waiting, (text or "" for text in texts), strict=True))
            self._waiting = {}
        return self._texts


def load(
    folder: Path,
    name: str,
    language: str | None = None,
    split: str | None = None,
    unknown_ids: float | None = None,
    max_tokens: int | None = None,
) -> list[RetrievalSet]:
    """Read products and judgements as one set. ``split`` names another file of judgements.

    Queries with the same text are one query. A product that was not judged for a query is unknown, not irrelevant, and stays in the corpus.

    Raises:
        UserError: a file, a column, an id, a query or a grade is missing or wrong; the line names file and row.
    """
    products = Products(max_tokens)
    for where, row in table_rows(table_file(folder, "products"), PRODUCT, ["product_id", "title"]):
        identifier = read_id(where, row, "product_id")
        if identifier in products:
            raise UserError(f"{where} has the id {identifier!r} a second time; give every product one row")
        products.add(identifier, tuple(field_text(where, row, field) for field in FIELDS))
    path = table_file(folder, split or "judgements")
    ids: dict[str, str] = {}
    corpus, judgements = products.corpus(), list(_judgements(path, ids))
    queries = {identifier: text for text, identifier in ids.items()}
    qrels, unknown = read_qrels(judgements, queries, corpus, unknown_ids)
    return [retrieval_set(name, language, queries, corpus, qrels, str(path), unknown=unknown, recalls=recalls(qrels))]


def recalls(qrels: Qrels) -> dict[str, float]:
    """The lowest grades of exact products, and of exact products and substitutes."""
    highest = max((grade for grades in qrels.values() for grade in grades.values()), default=0.0)
    return {"exact": EXACT * highest, "exact_substitute": SUBSTITUTE * highest}


def field_text(where: str, row: Mapping[str, Any], field: str) -> str | None:
    """A field of a product, or None; a list of texts becomes lines."""
    value = row.get(field)
    texts = value if isinstance(value, list) else [] if value is None else [value]
    if not all(isinstance(text, str) for text in texts):
        raise UserError(f"{where} has a {field} that is not a text, got {value!r}; write it as text")
    return "\n".join(texts) or None


def _judgements(path: Path, ids: dict[str, str]) -> Iterator[Row]:
    """The rows as those of qrels. ``ids`` gets an id for the text of each query."""
    words = None
    for where, row in table_rows(path, JUDGEMENT, [*JUDGEMENT]):
        query = unicodedata.normalize("NFC", field_text(where, row, "query") or "").strip()
        if not query:
            raise UserError(f"{where} has no query; write it, or delete the row")
        value = row["grade"].strip() if isinstance(row["grade"], str) else row["grade"]
        grade = _of_word(value)
        number = _number(where, value) if grade is None else grade
        if words not in (None, grade is not None):
            raise UserError(
                f"{where} has the grade {value!r}, and rows before it have {'words' if words else 'numbers'}; use one of the two"
            )
        words = grade is not None
        yield (
            where,
            {
                "query-id": ids.setdefault(query, f"q{len(ids) + 1}"),
                "corpus-id": read_id(where, row, "product_id"),
                "score": number,
            },
        )


def _of_word(value: Any) -> float | None:
    """The grade that a word or letter stands for; None for any other value."""
    word = value.lower() if isinstance(value, str) else ""
    return GRADES.get(word, LETTERS.get(word))


def _number(where: str, value: Any) -> float:
    try:
        number = float(value.replace(",", ".") if isinstance(value, str) else value)  # Nordic spreadsheets write 0,7
    except (TypeError, ValueError):
        number = math.nan
    if not 0 <= number < math.inf:
        raise UserError(f"{where} has the grade {value!r}; write {', '.join(GRADES)}, their first letters, or a number from 0")
    return number
