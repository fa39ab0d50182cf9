"""Amazon ESCI (tasksource/esci): shop queries with graded products (https://arxiv.org/abs/2206.06588).

Exact (1.0) and Substitute (0.7) products are positives, Irrelevant (0.0) ones of the same query negatives; Complement (0.5) is neither.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stages.rows.normalisation import hash_texts
from stages.rows.parquet import READ_ROWS
from stages.sources.chunk import Chunk, Options, Split, chunk, language_codes, text
from stages.sources.product import PRODUCT_TOKENS, product_text
from stages.sources.reading import read_split

POSITIVE, NEGATIVE = pa.array(["exact", "substitute"]), "irrelevant"
DEV_SHARE = 50
COLUMNS = ["query", "query_id", "product_locale", "esci_label", "product_title"]
OPTIONAL = ["product_description", "product_bullet_point", "product_brand"]


def read(raw: Path, split: Split, options: Options) -> Iterator[Chunk]:
    """One row for each positive product of a query, with one of the query's irrelevant products by turns, or null where
    it has none.

    One query in `DEV_SHARE` of the training file is dev, by its id, so that no query is in both; the set's own test
    file is left alone. A query's rows are paired where they stand together, as they do in the set: no more than a chunk
    is held.
    """
    carry: pa.Table | None = None
    for _, table in read_split(raw, "train", COLUMNS, OPTIONAL):
        table = table.set_column(table.column_names.index("query_id"), "query_id", text(table["query_id"]))
        dev = hash_texts(text(table["query_id"])) % DEV_SHARE == 0
        rows = table.filter(pa.array(dev if split == "dev" else ~dev))
        wanted = rows.filter(_of_locale(rows, options))
        dropped = {"locale not chosen": len(rows) - len(wanted)}
        rows = wanted if carry is None else pa.concat_tables([carry, wanted], promote_options="permissive")
        complete = _before_last_query(rows)
        carry = rows[complete:]
        yield _paired(rows[:complete], options, dropped)
    if carry is not None:
        yield _paired(carry, options, {})


def _of_locale(rows: pa.Table, options: Options) -> pa.Array:
    locales = text(rows["product_locale"])
    if options.locale is not None:
        return pc.equal(locales, options.locale)
    if options.languages is not None:
        return pc.is_in(language_codes(locales), pa.array(options.languages))
    return pc.is_valid(locales)


def _before_last_query(rows: pa.Table) -> int:
    """How many rows stand before those of the last query, which the next chunk may go on with."""
    if not len(rows):
        return 0
    other = np.flatnonzero(pc.not_equal(rows["query_id"], rows["query_id"][-1]).to_numpy())
    complete = int(other[-1]) + 1 if len(other) else 0
    return complete if len(rows) - complete < READ_ROWS else len(rows)


def _paired(rows: pa.Table, options: Options, dropped: dict[str, int]) -> Chunk:
    labels = pc.utf8_lower(text(rows["esci_label"]))
    positive = np.flatnonzero(pc.fill_null(pc.is_in(labels, POSITIVE), False).to_numpy(zero_copy_only=False))
    negative = np.flatnonzero(pc.fill_null(pc.equal(labels, NEGATIVE), False).to_numpy(zero_copy_only=False))
    query = text(rows["query_id"]).dictionary_encode().indices.to_numpy()
    positive = positive[np.argsort(query[positive], kind="stable")]
    negative = negative[np.argsort(query[negative], kind="stable")]
    mine, theirs = query[positive], query[negative]
    turn = np.arange(len(positive)) - np.searchsorted(mine, mine)
    first, last = np.searchsorted(theirs, mine), np.searchsorted(theirs, mine, side="right")
    count = last - first
    chosen = pa.array(np.append(negative, 0)[first + turn % np.maximum(count, 1)], mask=count == 0)

    brand, title, description, bullets = (text(rows[name]) for name in ("product_brand", "product_title", *OPTIONAL[:2]))
    product = product_text(brand, title, description, bullets, options.max_tokens or PRODUCT_TOKENS)
    locale = rows["product_locale"].take(positive)
    language = pc.coalesce(language_codes(text(locale)), pa.scalar(options.language, pa.string()))
    complements = int(pc.sum(pc.equal(labels, "complement")).as_py() or 0)
    others = len(rows) - len(positive) - len(negative) - complements
    dropped = dropped | {"complement": complements, "irrelevant (a negative)": len(negative), "no known label": others}
    query_text = rows["query"].take(positive)
    return chunk(query_text, product.take(pa.array(positive)), [product.take(chosen)], language, dropped)
