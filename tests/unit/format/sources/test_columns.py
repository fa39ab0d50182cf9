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


def test_bytes_that_are_not_text_are_named_by_their_column(tmp_path):
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


def test_nan_is_not_a_text(tmp_path):
    (tmp_path / "train-0.jsonl").write_text('{"anchor": "a", "positive": NaN}\n{"anchor": "a", "positive": "p", "negative": NaN}\n')
    pq.write_table(pa.table({"anchor": ["b"], "positive": ["p"], "negative": [float("nan")]}), tmp_path / "train-1.parquet")
    rows = read_all("triplets", tmp_path)[0]
    assert [(row["positive"], row["negative"]) for row in rows] == [(None, None), ("p", None), ("p", None)]


def test_a_column_that_is_there_twice_is_named(tmp_path):
    pq.write_table(pa.table([["a"], ["b"], ["c"]], names=["anchor", "positive", "positive"]), tmp_path / "train.parquet")
    with refused("train.parquet", '2 columns "positive"'):
        read_all("triplets", tmp_path)


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_a_json_array_is_read_with_and_without_a_byte_order_mark(tmp_path, encoding, indent):
    text = "\r\n" + json.dumps([{"anchor": "å", "positive": "p"}] * 2, indent=indent, ensure_ascii=False)
    (tmp_path / "train.json").write_text(text if encoding == "utf-8" else text.lstrip(), encoding=encoding)
    assert [row["anchor"] for row in read_all("triplets", tmp_path)[0]] == ["å", "å"]


GOOD = b'{"anchor": "a", "positive": "p"}'


@pytest.mark.parametrize(
    ("name", "content", "pin"),
    [
        ("train.parquet", b"", "train.parquet … empty"),
        ("train.jsonl", b"\n\n", "train.jsonl … empty"),
        ("train.jsonl", b'{"anchor": "a"}\n', 'no column "positive"'),
        ("train.json", b'{\n "data": [{"paragraphs": []}]\n}', 'train.json … "anchor" … data'),
        ("train.jsonl", b'{"anchor": "a", "positive": ["p", "q"]}\n', 'train.jsonl … "positive" … list< … texts'),
        ("train.jsonl", GOOD + b'\n\n{"anchor": "a", "posi\n', "train.jsonl … line 3 … valid JSON"),
        ("train.jsonl", GOOD + b"\n7\n", "line 2 … JSON object"),
        ("train.jsonl", GOOD + b"\nnull\n", "line 2 … JSON object"),
        ("train.jsonl", GOOD + b'\n{"anchor": {"x": 1}, "positive": "p"}\n', 'line 2 … "anchor" … valid text'),
        ("train.jsonl", b'{"anchor": "\\ud800", "positive": "p"}\n', 'line 1 … "anchor" … valid text'),  # half a surrogate pair
        ("train.jsonl", b'{"anchor": ' + b"[" * 600 + b"]" * 600 + b', "positive": "p"}', "train.jsonl … line 1 … valid"),
        ("train.jsonl", GOOD + b'\n{"anchor": "\xe5", "positive": "p"}\n', "line 2 … UTF-8"),
        ("train.json", b"[\n" + GOOD + b',\n{"anchor": "\xe5", "positive": "p"}\n]', "line 3 … UTF-8"),
    ],
)
def test_a_broken_file_is_refused_by_name_and_line(tmp_path, name, content, pin):
    (tmp_path / name).write_bytes(content)
    fails(tmp_path, pin)


def fails(raw, *pins):
    with refused(*pins):
        read_all("triplets", raw)


def test_a_folder_without_training_files(tmp_path):
    fails(tmp_path, "no training file")


def test_a_truncated_parquet(tmp_path, write):
    path = write("train.parquet", [{"anchor": "a" * 100, "positive": "p"}] * 1000)
    path.write_bytes(path.read_bytes()[:-100])
    fails(tmp_path, "train.parquet … complete parquet")


def test_a_parquet_with_a_broken_page(tmp_path, write):
    path = write("train.parquet", [{"anchor": f"a{i}" * 9, "positive": f"p{i}"} for i in range(1000)])
    data = bytearray(path.read_bytes())
    data[20:2000] = b"\xff" * 1980
    path.write_bytes(bytes(data))
    fails(tmp_path, "train.parquet … complete parquet")


def test_a_missing_column_is_named_with_those_there_are(tmp_path, write):
    write("train.parquet", [{"anchor": "a", "context": "p"}])
    fails(tmp_path, 'train.parquet … no column "positive" … anchor, context')


def test_a_column_of_lists_where_texts_belong(tmp_path, write):
    write("train.parquet", [{"anchor": "a", "positive": ["p", "q"]}])
    fails(tmp_path, 'train.parquet … "positive" … list< … texts')


def test_invalid_utf8_in_parquet(tmp_path):
    bad = pa.array([b"ok", b"bl\xe5b\xe6r"]).view(pa.string())
    pq.write_table(pa.table({"anchor": bad, "positive": ["p", "q"]}), tmp_path / "train.parquet")
    fails(tmp_path, "train.parquet … UTF-8")
