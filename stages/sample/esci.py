"""Product searches in the form of the Shopping Queries data set (ESCI), over the four languages; all brands are invented."""

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


def write(folder: Path, seed: int) -> None:
    """Write ``train.parquet`` and ``test.parquet``: the splits share no query."""
    queries = [rows for language in LANGUAGES for rows in make_queries(language, seed)]
    queries = shuffled(generator(seed, "esci-order"), queries)
    for q, rows in enumerate(queries):
        for row in rows:
            row["query_id"] = q
    # Neighbouring languages share some queries word for word: these go to one split.
    held = {rows[0]["query"] for rows in queries[: int(len(queries) * TEST_SHARE)]}
    numbers = count()
    for split in ("test", "train"):
        rows = [row for query_rows in queries for row in query_rows if (row["query"] in held) == (split == "test")]
        write_rows(folder / f"{split}.parquet", [row | {"example_id": next(numbers)} for row in rows])


def make_queries(language: str, seed: int) -> list[list[dict[str, Any]]]:
    """The judged products of each query of one language: one list a query."""
    rng = generator(seed, "esci", language)
    texts = read_texts(f"products_{language}")
    result = []
    for pair in PAIRS:
        for kind in pair:
            for wording in texts["types"][kind]["queries"]:
                for form in (PLAIN_QUERIES, BRAND_QUERIES if rng.random() < 0.5 else COLOUR_QUERIES):
                    result.append(_judged(texts, language, kind, wording, form, rng))
    return result


def _judged(texts: dict[str, Any], language: str, kind: str, wording: str, form: str, rng: Random) -> list[dict[str, Any]]:
    """The products of one query: exact ones, substitutes, sometimes a complement, irrelevant ones; shuffled."""
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
    chosen = [(kind, "Exact", wished) for _ in range(number(rng, 2, 3))]
    chosen += [(partner, "Substitute", {}) for _ in range(number(rng, 1, 2))]
    chosen += [(pick(rng, PAIRS[COMPLEMENTS[index]]), "Complement", {})] if rng.random() < 0.5 else []
    chosen += [(other, "Irrelevant", {}) for other in shuffled(rng, far)[: number(rng, 1, 2)]]
    return [
        {"example_id": 0, "query": query, "query_id": 0, **_product(texts, language, other, wish, rng), "esci_label": label}
        for other, label, wish in shuffled(rng, chosen)
    ]


def _product(texts: dict[str, Any], language: str, kind: str, wished: dict[str, str], rng: Random) -> dict[str, Any]:
    entry = texts["types"][kind]
    brand = wished.get("brand") or pick(rng, BRANDS)
    colour = wished.get("colour") or pick(rng, texts["colours"])
    bullets = [*shuffled(rng, entry["bullets"]), texts["warranty"].format(years=number(rng, 2, 10))]
    return {
        "product_id": "B0" + "".join(pick(rng, "ABCDEFGHJKLMNPQRSTUVWXYZ0123456789") for _ in range(8)),
        "product_locale": language,
        "product_title": f"{brand} {pick(rng, MODELS)} {pick(rng, entry['titles'])}, {colour}",
        "product_description": f"<p>{capitalised(entry['description'])}</p><br>{texts['care']}",
        "product_bullet_point": "\n".join(bullets),
        "product_brand": brand,
    }
