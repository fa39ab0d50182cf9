import pyarrow as pa
import pyarrow.parquet as pq

from tests.refused import refused
from tests.unit.format.sources.conftest import read_all


def fails(raw, *pins):
    with refused(*pins):
        read_all("triplets", raw)


def test_a_folder_without_training_files(tmp_path):
    fails(tmp_path, "no training file")


def test_an_empty_file(tmp_path):
    (tmp_path / "train.parquet").touch()
    fails(tmp_path, "train.parquet … empty")


def test_an_empty_json_file(tmp_path):
    (tmp_path / "train.jsonl").write_text("\n\n")
    fails(tmp_path, "train.jsonl … empty")


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


def test_a_json_field_of_lists_where_texts_belong(tmp_path):
    (tmp_path / "train.jsonl").write_text('{"anchor": "a", "positive": ["p", "q"]}\n')
    fails(tmp_path, 'train.jsonl … "positive" … list< … texts')


def test_a_missing_json_field_is_named(tmp_path):
    (tmp_path / "train.jsonl").write_text('{"anchor": "a"}\n')
    fails(tmp_path, 'no column "positive"')


def test_a_broken_json_line_is_named_by_its_number(tmp_path):
    (tmp_path / "train.jsonl").write_text('{"anchor": "a", "positive": "p"}\n\n{"anchor": "a", "posi\n')
    fails(tmp_path, "train.jsonl … line 3 … valid JSON")


def test_a_json_line_that_is_no_object(tmp_path):
    (tmp_path / "train.jsonl").write_text('{"anchor": "a", "positive": "p"}\n7\n')
    fails(tmp_path, "line 2 … JSON object")


def test_a_json_field_that_is_no_text(tmp_path):
    (tmp_path / "train.jsonl").write_text('{"anchor": "a", "positive": "p"}\n{"anchor": {"x": 1}, "positive": "p"}\n')
    fails(tmp_path, 'line 2 … "anchor" … valid text')


def test_half_a_surrogate_pair_in_json(tmp_path):
    (tmp_path / "train.jsonl").write_text('{"anchor": "\\ud800", "positive": "p"}\n')
    fails(tmp_path, 'line 1 … "anchor" … valid text')


def test_invalid_utf8_in_json_is_named_by_its_line(tmp_path):
    (tmp_path / "train.jsonl").write_bytes(b'{"anchor": "a", "positive": "p"}\n{"anchor": "\xe5", "positive": "p"}\n')
    fails(tmp_path, "line 2 … UTF-8")


def test_invalid_utf8_in_parquet(tmp_path):
    bad = pa.array([b"ok", b"bl\xe5b\xe6r"]).view(pa.string())
    pq.write_table(pa.table({"anchor": bad, "positive": ["p", "q"]}), tmp_path / "train.parquet")
    fails(tmp_path, "train.parquet … UTF-8")
