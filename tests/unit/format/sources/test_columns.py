"""Types that people's files really have: every one of texts is read, every other a one-line error."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.refused import refused
from tests.unit.format.sources.conftest import read_all

WORDS = ["a", None]


@pytest.mark.parametrize(
    "texts",
    [
        pa.array(WORDS).dictionary_encode(),
        pa.array(WORDS, pa.large_string()),
        pa.array(WORDS, pa.string_view()),
        pa.array([b"a", None], pa.binary()),
        pa.array([b"a", None], pa.binary(1)),
    ],
)
def test_texts_of_every_type_are_read(tmp_path, texts):
    pq.write_table(pa.table({"anchor": texts, "positive": ["p", "q"]}), tmp_path / "train.parquet")
    assert [row["anchor"] for row in read_all("triplets", tmp_path)[0]] == WORDS


def test_numbers_are_taken_as_their_texts(tmp_path, write):
    write("train-0.parquet", [{"anchor": 1814, "positive": 2.5}])
    (tmp_path / "train-1.jsonl").write_text('{"anchor": 1814, "positive": 2.5}\n')
    assert [(row["anchor"], row["positive"]) for row in read_all("triplets", tmp_path)[0]] == [("1814", "2.5")] * 2


@pytest.mark.parametrize("kind", ["triplets", "esci"])
def test_shards_may_hold_a_column_as_a_dictionary_and_as_strings(tmp_path, kind):
    row = {
        "anchor": "a",
        "positive": "p",
        "query": "q",
        "query_id": "1",
        "product_locale": "us",
        "esci_label": "Exact",
        "product_title": "t",
    }
    table = pa.Table.from_pylist([row] * 3)
    pq.write_table(table, tmp_path / "train-0.parquet")
    for name in table.column_names:
        table = table.set_column(table.column_names.index(name), name, table[name].dictionary_encode())
    pq.write_table(table, tmp_path / "train-1.parquet")
    assert sum(len(read_all(kind, tmp_path, split)[0]) for split in ("train", "dev")) == 6


def test_bytes_that_are_no_text_are_named_by_their_column(tmp_path):
    pq.write_table(pa.table({"anchor": pa.array([b"bl\xe5"]), "positive": ["p"]}), tmp_path / "train.parquet")
    with refused("train.parquet", '"anchor"', "binary"):
        read_all("triplets", tmp_path)


def test_bytes_in_a_list_are_read_as_texts_or_named_by_their_column(tmp_path):
    for value in (b"b\xc3\xa5l", b"bl\xe5"):
        pq.write_table(pa.table({"query": ["q"], "pos": [[value]]}), tmp_path / "train.parquet")
        if value == b"b\xc3\xa5l":
            assert read_all("pairs", tmp_path)[0][0]["positive"] == "bål"
    with refused("train.parquet", '"pos"', "list<element: binary>"):
        read_all("pairs", tmp_path)


def test_nan_is_no_text(tmp_path):
    (tmp_path / "train-0.jsonl").write_text('{"anchor": "a", "positive": NaN}\n{"anchor": "a", "positive": "p", "negative": NaN}\n')
    pq.write_table(pa.table({"anchor": ["b"], "positive": ["p"], "negative": [float("nan")]}), tmp_path / "train-1.parquet")
    rows = read_all("triplets", tmp_path)[0]
    assert [(row["positive"], row["negative"]) for row in rows] == [(None, None), ("p", None), ("p", None)]


def test_a_column_that_is_there_twice_is_named(tmp_path):
    pq.write_table(pa.table([["a"], ["b"], ["c"]], names=["anchor", "positive", "positive"]), tmp_path / "train.parquet")
    with refused("train.parquet", '2 columns "positive"'):
        read_all("triplets", tmp_path)


def test_lists_within_lists_without_an_end_are_named_by_their_line(tmp_path):
    (tmp_path / "train.jsonl").write_text(f'{{"anchor": {"[" * 600}{"]" * 600}, "positive": "p"}}\n')
    with refused("train.jsonl", "line 1", "valid"):
        read_all("triplets", tmp_path)


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_a_json_array_is_read_with_and_without_a_byte_order_mark(tmp_path, encoding, indent):
    text = "\r\n" + json.dumps([{"anchor": "å", "positive": "p"}] * 2, indent=indent, ensure_ascii=False)
    (tmp_path / "train.json").write_text(text if encoding == "utf-8" else text.lstrip(), encoding=encoding)
    assert [row["anchor"] for row in read_all("triplets", tmp_path)[0]] == ["å", "å"]


def test_a_null_among_json_lines_is_no_row(tmp_path):
    (tmp_path / "train.jsonl").write_text('{"anchor": "a", "positive": "p"}\nnull\n')
    with refused("line 2", "JSON object"):
        read_all("triplets", tmp_path)


def test_one_object_over_several_lines_is_a_row(tmp_path):
    (tmp_path / "train.json").write_text(json.dumps({"data": [{"paragraphs": []}]}, indent=1))
    with refused("train.json", '"anchor"', "data"):
        read_all("triplets", tmp_path)


def test_invalid_utf8_in_a_json_array_is_named_by_its_line(tmp_path):
    (tmp_path / "train.json").write_bytes(b'[\n{"anchor": "a", "positive": "p"},\n{"anchor": "\xe5", "positive": "p"}\n]')
    with refused("line 3", "UTF-8"):
        read_all("triplets", tmp_path)
