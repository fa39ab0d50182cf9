"""ESCI's held-out queries as retrieval sets."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stages.format.sources import esci
from stages.format.sources.chunk import Options
from stages.format.sources.folder import RawFolder
from stages.retrieval.sets import load_sets
from stages.sample import write_set
from tests.refused import refused


def row(query: int, product: str, label: str, locale: str = "us", **others: Any) -> dict[str, Any]:
    named = {"product_title": f"Kettle {product}", "product_brand": None, "product_description": None, "product_bullet_point": None}
    about = {"query": f"query {query}", "query_id": query, "product_id": product, "product_locale": locale, "esci_label": label}
    return {**about, **named, **others}


def write(folder: Path, rows: list[dict[str, Any]], name: str = "data/test-00000-of-00001.parquet") -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), folder / name)


def test_the_four_labels_are_grades_and_the_locales_products_the_corpus(tmp_path: Path) -> None:
    labels = {"a": "Exact", "b": "Substitute", "c": "Complement", "d": "Irrelevant"}
    rows = [row(1, product, label, product_brand="Acme") for product, label in labels.items()]
    rows += [row(2, "a", "Irrelevant"), row(3, "e", "Exact"), row(4, "a", "Exact", "es")]
    write(tmp_path, rows)
    write(tmp_path, [row(9, "z", "Exact")], "data/train-00000-of-00001.parquet")
    [found] = load_sets(tmp_path, "esci", "esci", locale="us")
    assert (found.name, found.language, list(found.corpus)) == ("esci", "en", ["a", "b", "c", "d", "e"])
    assert found.corpus["a"] == "[Acme] Kettle a"
    assert found.qrels == {"1": {"a": 1.0, "b": 0.7, "c": 0.5}, "3": {"e": 1.0}}
    assert found.judged == {"1": ["a", "b", "c", "d"], "3": ["e"]}
    assert found.queries_left_out == 1


def test_each_locale_is_a_set_of_its_own(tmp_path: Path) -> None:
    write(tmp_path, [row(1, "a", "Exact"), row(2, "a", "Exact", "es", product_title="Hervidor")])
    us, spanish = sorted(load_sets(tmp_path, "esci", "esci"), key=lambda each: each.language or "")[::-1]
    assert (us.name, us.language, us.entry, us.corpus) == ("esci-us", "en", "esci", {"a": "Kettle a"})
    assert (spanish.name, spanish.language, spanish.corpus) == ("esci-es", None, {"a": "Hervidor"})


def test_a_number_of_queries_is_drawn_by_their_ids_and_the_corpus_stays_whole(tmp_path: Path) -> None:
    rows = [row(query, f"p{query}", "Exact") for query in range(40)]
    write(tmp_path, rows)
    [whole] = load_sets(tmp_path, "esci", "esci")
    [ten] = load_sets(tmp_path, "esci", "esci", max_queries=10)
    assert len(ten.queries) == 10 and ten.queries.items() < whole.queries.items()
    assert ten.corpus == whole.corpus and ten.qrels == {query: whole.qrels[query] for query in ten.queries}
    assert ten.queries_left_out == 0
    write(tmp_path, rows[::-1])
    assert load_sets(tmp_path, "esci", "esci", max_queries=10)[0].queries == ten.queries


@pytest.mark.parametrize(
    ("rows", "options", "line"),
    [
        ([row(1, "a", "Exact")], {"split": "dev"}, "split dev"),
        ([row(1, "a", "Exact")], {"locale": "uk"}, "locale uk"),
        ([row(1, "a", "Exact"), row(1, "b", "Good")], {}, "test-00000-of-00001.parquet: row 2 … 'Good'"),
        ([row(1, "a", "Exact"), row(1, "a", "Substitute")], {}, "row 2 … second grade"),
        ([row(1, "", "Exact")], {}, "row 1 … product_id"),
        ([{"query": "no label"}], {}, "column"),
    ],
)
def test_a_fault_names_file_and_row(tmp_path: Path, rows: list[dict[str, Any]], options: dict[str, str], line: str) -> None:
    write(tmp_path, rows)
    with refused(line):
        load_sets(tmp_path, "esci", "esci", **options)


def test_the_sample_has_products_in_four_languages_that_training_never_sees_as_the_same_texts(tmp_path: Path) -> None:
    write_set("esci", tmp_path)
    sets = load_sets(tmp_path, "sample-esci", "esci")
    assert [(each.name, each.language) for each in sets] == [(f"sample-esci-{code}", code) for code in ("da", "nb", "nn", "sv")]
    assert all(sum(map(len, each.judged.values())) > 10 * len(each.queries) for each in sets)
    assert {grade for each in sets for grades in each.qrels.values() for grade in grades.values()} == {1.0, 0.7, 0.5}
    training = [each for chunk in esci.read(RawFolder(tmp_path), "train", Options()) for each in chunk.rows.to_pylist()]
    queries = {text for each in sets for text in each.queries.values()}
    products = {text for each in sets for text in each.corpus.values()}
    assert queries.isdisjoint(each["anchor"] for each in training)
    assert products.isdisjoint(each["positive"] for each in training)
    (tmp_path / "train.parquet").unlink()
    (tmp_path / "test.parquet").rename(tmp_path / "train.parquet")
    as_in_training = [each["positive"] for chunk in esci.read(RawFolder(tmp_path), "train", Options()) for each in chunk.rows.to_pylist()]
    assert as_in_training and products.issuperset(as_in_training)
