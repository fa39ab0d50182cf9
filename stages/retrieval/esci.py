"""Amazon ESCI's held-out queries as a retrieval set for each shop (tasksource/esci, https://arxiv.org/abs/2206.06588).

Grades are Exact 1.0, Substitute 0.7, Complement 0.5, Irrelevant 0.0; the products of the split are the corpus. `stages.format.sources.esci`
reads the training split.
"""

from collections import defaultdict
from pathlib import Path

import pyarrow as pa

from stages.hub.splits import split_of
from stages.retrieval.beir import Row, parquet_rows, read_id, read_qrels
from stages.retrieval.products import GRADES, Products, field_text, recalls
from stages.retrieval.sets import RetrievalSet, retrieval_set
from stages.rows.normalisation import hash_texts
from stages.runtime.errors import UserError

COLUMNS = ["query", "query_id", "product_id", "product_locale", "esci_label", "product_title"]
OPTIONAL = ["product_brand", "product_description", "product_bullet_point"]
LANGUAGES = {"us": "en", "nb": "nb", "nn": "nn", "da": "da", "sv": "sv"}
"""Locale → language; the built-in sample has languages as locales."""


def load(
    folder: Path,
    name: str,
    language: str | None = None,
    split: str | None = None,
    unknown_ids: float | None = None,
    locale: str | None = None,
    max_tokens: int | None = None,
    max_queries: int | None = None,
) -> list[RetrievalSet]:
    """Read the parquet files of a split (default test): one set, or, if several locales are read, ``<name>-<locale>`` for each.

    With ``max_queries``, each set has that many of its queries, those with the lowest hashes of their ids; the corpus stays whole.

    Raises:
        UserError: the split has no file or no row of the locale; a column, id, query or label is missing or wrong.
    """
    split = split or "test"
    paths = [path for path in sorted(folder.rglob("*.parquet")) if split_of(path.relative_to(folder)) == split]
    if not paths:
        raise UserError(f"{folder}: has no parquet file of the split {split}; choose another split, or add {split}.parquet")
    queries: dict[str, dict[str, str]] = defaultdict(dict)  # here and below by locale
    products: dict[str, Products] = defaultdict(lambda: Products(max_tokens))
    judgements: dict[str, list[Row]] = defaultdict(list)
    for where, row in parquet_rows(paths, COLUMNS, OPTIONAL):
        shop = field_text(where, row, "product_locale") or ""
        if locale not in (None, shop):
            continue
        query, product = read_id(where, row, "query_id"), read_id(where, row, "product_id")
        label = (field_text(where, row, "esci_label") or "").strip().lower()
        if label not in GRADES:
            raise UserError(f"{where} has the esci_label {row['esci_label']!r}; write {', '.join(GRADES)}")
        queries[shop][query] = (field_text(where, row, "query") or "").strip()
        if product not in products[shop]:
            title, brand, description, bullets = (field_text(where, row, column) for column in (COLUMNS[-1], *OPTIONAL))
            products[shop].add(product, (title, brand, description, bullets))
        judgements[shop].append((where, {"query-id": query, "corpus-id": product, "score": GRADES[label]}))
    if not queries:
        raise UserError(f"{paths[0]}: has no row of the locale {locale}; correct locale")
    sets = []
    for shop, texts in sorted(queries.items()):
        own = f"{name}-{shop}" if len(queries) > 1 else name
        drawn = _drawn(texts, max_queries)
        rows = [row for row in judgements[shop] if row[1]["query-id"] in drawn]
        corpus = products[shop].corpus()
        qrels, _ = read_qrels(rows, drawn, corpus)
        sets.append(retrieval_set(own, language or LANGUAGES.get(shop), drawn, corpus, qrels, str(paths[0]), name, recalls=recalls(qrels)))
    return sets


def _drawn(queries: dict[str, str], number: int | None) -> dict[str, str]:
    if number is None or len(queries) <= number:
        return queries
    hashes = dict(zip(queries, hash_texts(pa.array(queries)).tolist(), strict=True))
    chosen = set(sorted(queries, key=hashes.__getitem__)[:number])
    return {query: text for query, text in queries.items() if query in chosen}
