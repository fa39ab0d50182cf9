import pytest

from stages.format.sources import esci
from tests.unit.format.sources.conftest import read_all


def product(query, label, title, **others):
    fields = {"product_description": None, "product_bullet_point": None, "product_brand": None, "product_locale": "us"}
    return {"query": f"query {query}", "query_id": query, "esci_label": label, "product_title": title, "example_id": 0} | fields | others


@pytest.fixture
def no_dev(monkeypatch):
    monkeypatch.setattr(esci, "DEV_SHARE", 2**63)


def test_exact_and_substitute_are_positives_and_irrelevant_of_the_query_their_negatives(tmp_path, write, no_dev):
    labels = ["Exact", "Irrelevant", "Substitute", "Complement", "Irrelevant", "Exact"]
    write("train.parquet", [product(1, label, f"t{i}") for i, label in enumerate(labels)] + [product(2, "Exact", "alone")])
    rows, dropped = read_all("esci", tmp_path, locale="us")
    assert [(row["anchor"], row["positive"], row["negative"]) for row in rows] == [
        ("query 1", "t0", "t1"),
        ("query 1", "t2", "t4"),
        ("query 1", "t5", "t1"),
        ("query 2", "alone", None),
    ]
    assert dropped == {"complement": 1, "irrelevant (a negative)": 2}
    assert {row["language"] for row in rows} == {"en"}


def test_a_query_that_two_chunks_share_is_paired_whole(tmp_path, write, no_dev, monkeypatch):
    monkeypatch.setattr("stages.rows.parquet.READ_ROWS", 4)
    rows = [product(query, "Exact" if i else "Irrelevant", f"t{query}{i}") for query in range(5) for i in range(3)]
    write("train.parquet", rows)
    found, _ = read_all("esci", tmp_path)
    assert [(row["positive"], row["negative"]) for row in found] == [(f"t{q}{i}", f"t{q}0") for q in range(5) for i in (1, 2)]


def test_no_query_is_in_both_splits_and_the_test_file_is_left_alone(tmp_path, write):
    rows = [product(query, "Exact", f"t{query}{i}") for query in range(400) for i in range(2)]
    write("train.parquet", rows)
    write("test.parquet", [product(9999, "Exact", "secret")])
    train, dev = ({row["anchor"] for row in read_all("esci", tmp_path, split)[0]} for split in ("train", "dev"))
    assert not train & dev
    assert len(train | dev) == 400
    assert 0 < len(dev) < 40


def test_products_are_cut_at_the_given_number_of_tokens(tmp_path, write, no_dev):
    write("train.parquet", [product(1, "Exact", "a b c d"), product(1, "Irrelevant", "e f (g)")])
    (row,) = read_all("esci", tmp_path, max_tokens=3)[0]
    assert (row["positive"], row["negative"]) == ("a b c", "e f")


def test_only_the_chosen_locale_is_read(tmp_path, write, no_dev):
    write("train.parquet", [product(1, "Exact", "t", product_locale=locale) for locale in ("us", "es", "jp")])
    rows, dropped = read_all("esci", tmp_path, locale="us")
    assert (len(rows), dropped) == (1, {"locale not chosen": 2})


def test_locales_that_are_languages_can_be_chosen_as_such(tmp_path, write, no_dev):
    write("train.parquet", [product(i, "Exact", "t", product_locale=locale) for i, locale in enumerate(("nb", "sv", "us"))])
    assert [row["language"] for row in read_all("esci", tmp_path, languages=("nb", "sv"))[0]] == ["nb", "sv"]


def test_shards_may_lack_different_optional_columns(tmp_path, write, no_dev):
    for number, missing in enumerate(["product_brand", "product_description"]):
        row = product(1, "Exact", f"t{number}")
        del row[missing]
        write(f"train-{number}.parquet", [row])
    assert [row["positive"] for row in read_all("esci", tmp_path)[0]] == ["t0", "t1"]


def test_a_row_without_a_query_id_is_dropped_and_counted(tmp_path, write, no_dev):
    write("train.parquet", [product(1, "Exact", "a"), product(1, "Exact", "b", query_id=None), product(1, "Irrelevant", "c")])
    rows, dropped = read_all("esci", tmp_path)
    assert [(row["positive"], row["negative"]) for row in rows] == [("a", "c")]
    assert dropped == {"no query id": 1, "irrelevant (a negative)": 1}
