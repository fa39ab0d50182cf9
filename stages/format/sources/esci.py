"""Amazon ESCI (tasksource/esci): shop queries with graded products (https://arxiv.org/abs/2206.06588).

Exact (1.0) and Substitute (0.7) products are positives, Irrelevant (0.0) ones of the same query negatives; Complement (0.5) is neither.
"""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stages.format.sources.chunk import Chunk, Options, chunk, language_codes
from stages.format.sources.folder import RawFolder
from stages.hub.splits import Split
from stages.rows.dropping import Dropped, as_mask, drop, marked
from stages.rows.normalisation import hash_texts
from stages.rows.parquet import READ_ROWS, one_array
from stages.rows.product import PRODUCT_TOKENS, product_text

DEV_SHARE = 50
COLUMNS = ["query", "query_id", "product_locale", "esci_label", "product_title"]
OPTIONAL = ["product_brand", "product_description", "product_bullet_point"]


def read(raw: RawFolder, split: Split, options: Options) -> Iterator[Chunk]:
    """Yield one row per positive product of a query; its negative is one of the query's irrelevant products, in turn, or null.

    One in `DEV_SHARE` queries of the training file is dev, chosen by the hash of its id, so that no query is in both splits; the set's
    test file is not read. Only adjacent rows of a query are paired, and in this set all are adjacent: memory holds one chunk.
    """
    carry: pa.Table | None = None
    for _, table in raw.read_split(split, COLUMNS, OPTIONAL, divide=_of_dev):
        languages = pc.coalesce(language_codes(one_array(table["product_locale"])), pa.scalar(options.language, pa.string()))
        table = table.append_column("language", languages)
        wanted, dropped = drop(table, {"locale not chosen": ~_of_locale(table, options), "no query id": pc.is_null(table["query_id"])})
        rows = wanted if carry is None else pa.concat_tables([carry, wanted])
        complete = _before_last_query(rows)
        carry = rows[complete:]
        yield _paired(rows[:complete], options, dropped)
    if carry is not None:
        yield _paired(carry, options, Dropped())


def _of_dev(table: pa.Table) -> np.ndarray:
    ids = one_array(table["query_id"])
    return np.asarray((hash_texts(ids) % DEV_SHARE == 0) & as_mask(pc.is_valid(ids)))


def _of_locale(rows: pa.Table, options: Options) -> np.ndarray:
    locales = one_array(rows["product_locale"])
    if options.locale is not None:
        return as_mask(pc.equal(locales, options.locale))
    return as_mask(pc.is_valid(locales)) & ~options.unwanted(language_codes(locales))


def _before_last_query(rows: pa.Table) -> int:
    """How many rows stand before those of the last query, which may continue in the next chunk."""
    if not len(rows):
        return 0
    other = np.flatnonzero(pc.not_equal(rows["query_id"], rows["query_id"][-1]).to_numpy())
    complete = int(other[-1]) + 1 if len(other) else 0
    return complete if len(rows) - complete < READ_ROWS else len(rows)


def _paired(rows: pa.Table, options: Options, dropped: Dropped) -> Chunk:
    labels = pc.utf8_lower(one_array(rows["esci_label"]))
    is_positive, is_negative = as_mask(pc.is_in(labels, pa.array(["exact", "substitute"]))), as_mask(pc.equal(labels, "irrelevant"))
    query = one_array(rows["query_id"]).dictionary_encode().indices.to_numpy()
    positive, negative = (places[np.argsort(query[places], kind="stable")] for places in map(np.flatnonzero, (is_positive, is_negative)))
    mine, theirs = query[positive], query[negative]
    turn = np.arange(len(positive)) - np.searchsorted(mine, mine)
    first, last = np.searchsorted(theirs, mine), np.searchsorted(theirs, mine, side="right")
    count = last - first
    chosen = pa.array(np.append(negative, 0)[first + turn % np.maximum(count, 1)], mask=count == 0)

    title, brand, description, bullets = (one_array(rows[name]) for name in ("product_title", *OPTIONAL))
    product = product_text(title, brand, description, bullets, options.max_tokens or PRODUCT_TOKENS)
    reasons = {"complement": pc.equal(labels, "complement"), "irrelevant (a negative)": is_negative, "no known label": ~is_positive}
    dropped = dropped + marked(rows["language"], reasons)[1]
    places = pa.array(positive)
    paired = chunk(rows["query"].take(places), product.take(places), [product.take(chosen)], rows["language"].take(places))
    return replace(paired, dropped=dropped)
