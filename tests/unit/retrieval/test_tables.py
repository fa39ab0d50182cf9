"""CSV and parquet as people bring them: separators, marks, names of columns, and what is wrong with a row."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stages.retrieval.tables import table_file, table_rows
from tests.refused import refused

COLUMNS = {"id": ("id", "sku"), "title": ("title", "name"), "brand": ("brand",)}


def read(path: Path) -> list[dict[str, object]]:
    return [row for _, row in table_rows(path, COLUMNS, ["id", "title"])]


def written(folder: Path, content: bytes, name: str = "products.csv") -> Path:
    (folder / name).write_bytes(content)
    return folder / name


@pytest.mark.parametrize(
    "content",
    [
        "id,title,brand\n1,Blåbærsyltetøy,Røros\n",
        "\ufeffSKU;Title;Brand\r\n1;Blåbærsyltetøy;Røros\r\n;;\r\n",  # Nordic Excel, with an empty row below the table
        "id\ttitle\tbrand\n\n1\tBlåbærsyltetøy\tRøros",
        "brand;price;name;id\nRøros;9,50;Blåbærsyltetøy;1\n",
        'id,title,brand\n1,"Blåbærsyltetøy",Røros\n',
    ],
)
def test_a_spreadsheet_is_read_whatever_its_separator_order_and_names(tmp_path: Path, content: str) -> None:
    assert read(written(tmp_path, content.encode())) == [{"id": "1", "title": "Blåbærsyltetøy", "brand": "Røros"}]


def test_parquet_has_the_same_names_and_keeps_types(tmp_path: Path) -> None:
    pq.write_table(pa.table({"SKU": [1], "name": ["Ost"], "other": [2.0]}), tmp_path / "products.parquet")
    assert read(tmp_path / "products.parquet") == [{"id": 1, "title": "Ost"}]


def test_an_error_names_the_first_line_of_a_row_with_line_breaks(tmp_path: Path) -> None:
    path = written(tmp_path, b'id,title\n1,"two\nlines"\n2,a,b\n')
    rows = table_rows(path, COLUMNS, [])
    assert next(rows) == (f"{path}: line 2", {"id": "1", "title": "two\nlines"})
    with refused("products.csv: line 4", "3 fields … header has 2"):
        next(rows)


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"", "line 1 … empty"),
        (b"id,text\n1,a\n", 'no column "title" … id, text'),
        (b"id,title,name\n1,a,b\n", "title and name … rename"),
        (b"id,title\n1,\xf8st\n", "line 2 … UTF-8 … Excel"),
        (b"\xff\xfei\x00d\x00", "line 1 … UTF-8"),
        (b'"id,title\n1,a\n', "line 1 … CSV"),
        (b"id,title\r1,a\r", "line 1 … CSV … line feed"),
        (b'id,title\n1,"open\n', "line 2 … CSV"),
        (b'id,title\n1,"a"b\n', "line 2 … CSV"),
    ],
)
def test_a_fault_is_one_line(tmp_path: Path, content: bytes, line: str) -> None:
    with refused("products.csv", line):
        read(written(tmp_path, content))


def test_a_file_that_is_no_parquet_is_refused(tmp_path: Path) -> None:
    with refused("products.parquet", "complete parquet file"):
        read(written(tmp_path, b"id,title", "products.parquet"))


def test_there_is_one_file_of_a_name(tmp_path: Path) -> None:
    with refused(str(tmp_path), "products.csv and products.parquet", "no such file"):
        table_file(tmp_path, "products")
    for name in ("products.csv", "products.parquet"):
        written(tmp_path, b"", name)
    with refused("both exist"):
        table_file(tmp_path, "products")
