"""Product searches in the form of the Shopping Queries data set (ESCI), over the four languages; all brands are invented.

The queries of the test split are for evaluation: all its exact products and substitutes are judged, not only those drawn for a query.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

from stages.sample.draws import generator, number, pick, shuffled
from stages.sample.lexicon import LANGUAGES, read_texts
from stages.sample.parquet import write_rows
from stages.sample.statements import capitalised

# Products that may stand in for each other, and the index of the pair whose products go with them.
PAIRS = (
    ("rainjacket", "windjacket"),
    ("hikingboots", "trainers"),
    ("woolsocks", "slippers"),
    ("kettle", "coffeemaker"),
    ("thermos", "waterbottle"),
    ("backpack", "shoulderbag"),
    ("headlamp", "lantern"),
    ("tent", "hammock"),
    ("sleepingbag", "duvet"),
    ("fryingpan", "pot"),
)
COMPLEMENTS = {0: 1, 1: 2, 2: 1, 3: 4, 4: 5, 5: 4, 6: 7, 7: 8, 8: 7, 9: 3}
BRANDS = ("Fjordlo", "Nordvik", "Tindra", "Kvistum", "Havsula", "Granmo", "Lyngborg", "Skjaervo")
MODELS = ("Alba", "Bris", "Dis", "Elv", "Frost", "Glimt", "Hegg", "Isbre", "Kvern", "Lun", "Myr", "Orre")
PLAIN_QUERIES, BRAND_QUERIES, COLOUR_QUERIES = "plain", "brand", "colour"
TEST_SHARE = 0.15
EXACT, SUBSTITUTE, COMPLEMENT, IRRELEVANT = "Exact", "Substitute", "Complement", "Irrelevant"


@dataclass(frozen=True)
class Product:
    """A product: its kind, brand and colour, and its columns."""

    kind: str
    features: Mapping[str, str]
    columns: Mapping[str, Any]


@dataclass(frozen=True)
class Query:
    """A query for a kind of product, perhaps with a ``wished`` brand or colour, and the products drawn for it with their labels."""

    text: str
    kind: str
    wished: Mapping[str, str]
    judged: list[tuple[Product, str]]


def write(folder: Path, seed: int) -> None:
    """Write ``train.parquet`` and ``test.parquet``: the splits share no query."""
    queries = [query for language in LANGUAGES for query in make_queries(language, seed)]
    ids = dict(enumerate(shuffled(generator(seed, "esci-order"), queries)))
    # Neighbouring languages share some queries word for word: these go to one split.
    held = {query.text for number, query in ids.items() if number < int(len(queries) * TEST_SHARE)}
    numbers = count()

    def rows(number: int, query: Query, judged: Iterable[tuple[Product, str]]) -> list[dict[str, Any]]:
        about = {"query": query.text, "query_id": number}
        return [{"example_id": next(numbers), **about, **product.columns, "esci_label": label} for product, label in judged]

    test = {number: query for number, query in ids.items() if query.text in held}
    drawn = {number: rows(number, query, query.judged) for number, query in test.items()}
    train = [row for number, query in ids.items() if number not in test for row in rows(number, query, query.judged)]
    found = {number: rows(number, query, _other_products(query, test.values())) for number, query in test.items()}
    write_rows(folder / "train.parquet", train)
    write_rows(folder / "test.parquet", [row for number in test for row in (*drawn[number], *found[number])])


def make_queries(language: str, seed: int) -> list[Query]:
    """The queries of one language with their judged products."""
    rng = generator(seed, "esci", language)
    texts = read_texts(f"products_{language}")
    result = []
    for pair in PAIRS:
        for kind in pair:
            for wording in texts["types"][kind]["queries"]:
                for form in (PLAIN_QUERIES, BRAND_QUERIES if rng.random() < 0.5 else COLOUR_QUERIES):
                    result.append(_judged(texts, language, kind, wording, form, rng))
    return result


def _judged(texts: dict[str, Any], language: str, kind: str, wording: str, form: str, rng: Random) -> Query:
    """A query with its products: exact ones, substitutes, sometimes a complement, irrelevant ones; shuffled."""
    index = next(i for i, pair in enumerate(PAIRS) if kind in pair)
    (partner,) = set(PAIRS[index]) - {kind}
    brand, colour = pick(rng, BRANDS), pick(rng, texts["colours"])
    wished: dict[str, str] = {}
    query = wording
    if form == BRAND_QUERIES:
        query, wished = texts["from_brand"].format(query=wording, brand=brand), {"brand": brand}
    elif form == COLOUR_QUERIES:
        query, wished = texts["in_colour"].format(query=wording, colour=colour), {"colour": colour}
    far = [other for i, pair in enumerate(PAIRS) if i not in (index, COMPLEMENTS[index]) for other in pair]
    chosen = [(kind, EXACT, wished) for _ in range(number(rng, 2, 3))]
    chosen += [(partner, SUBSTITUTE, {}) for _ in range(number(rng, 1, 2))]
    chosen += [(pick(rng, PAIRS[COMPLEMENTS[index]]), COMPLEMENT, {})] if rng.random() < 0.5 else []
    chosen += [(other, IRRELEVANT, {}) for other in shuffled(rng, far)[: number(rng, 1, 2)]]
    judged = [(_product(texts, language, other, wish, rng), label) for other, label, wish in shuffled(rng, chosen)]
    return Query(query, kind, wished, judged)


def _other_products(query: Query, queries: Iterable[Query]) -> list[tuple[Product, str]]:
    """The exact products and substitutes among the products of other queries in the same language."""
    (pair,) = (pair for pair in PAIRS if query.kind in pair)
    locale = query.judged[0][0].columns["product_locale"]
    products = [product for other in queries if other is not query for product, _ in other.judged]
    return [
        (product, EXACT if product.kind == query.kind and query.wished.items() <= product.features.items() else SUBSTITUTE)
        for product in products
        if product.kind in pair and product.columns["product_locale"] == locale
    ]


def _product(texts: dict[str, Any], language: str, kind: str, wished: dict[str, str], rng: Random) -> Product:
    entry = texts["types"][kind]
    brand = wished.get("brand") or pick(rng, BRANDS)
    colour = wished.get("colour") or pick(rng, texts["colours"])
    bullets = [*shuffled(rng, entry["bullets"]), texts["warranty"].format(years=number(rng, 2, 10))]
    columns = {
        "product_id": "B0" + "".join(pick(rng, "ABCDEFGHJKLMNPQRSTUVWXYZ0123456789") for _ in range(8)),
        "product_locale": language,
        "product_title": f"{brand} {pick(rng, MODELS)} {pick(rng, entry['titles'])}, {colour}",
        "product_description": f"<p>{capitalised(entry['description'])}</p><br>{texts['care']}",
        "product_bullet_point": "\n".join(bullets),
        "product_brand": brand,
    }
    return Product(kind, {"brand": brand, "colour": colour}, columns)
