"""What documents can be read from, and a one-line error for every fault."""

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stages.engines.sources import Checked, Columns, find
from tests import ROOT
from tests.refused import refused

ROWS: list[dict[str, Any]] = [
    {"_id": "a", "title": "Øl", "text": "En drikk.", "language": "nb"},
    {"_id": "b", "title": "", "text": "Kaia", "language": ""},
    {"_id": "c", "title": "", "text": " ", "language": ""},
]
SEEN = [("a", "Øl En drikk.", "nb"), ("b", "Kaia", None)]


def lines(*rows: Any) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def write(folder: Path, form: str) -> Path:
    path = folder / form
    if form == "corpus.jsonl":
        path.write_text(lines(*ROWS), encoding="utf-8")
        (folder / "queries.jsonl").write_text(lines({"_id": "q", "text": "not a document"}))
        return folder
    if form == "docs.jsonl.gz":
        path.write_bytes(gzip.compress(lines(*ROWS).encode()))
    elif form == "docs.json":
        path.write_text(json.dumps(ROWS), encoding="utf-8")
    elif form == "docs.csv":
        path.write_text('_id;title;text;language\na;Øl;"En drikk.";nb\nb;;Kaia;\nc;; ;\n', encoding="utf-8-sig")
    elif form == "docs.parquet":
        pq.write_table(pa.Table.from_pylist(ROWS), path)
    else:
        path.mkdir()
        pq.write_table(pa.Table.from_pylist(ROWS[:1]), path / "part-0.parquet")
        pq.write_table(pa.Table.from_pylist(ROWS[1:]), path / "part-1.parquet")
    return path


@pytest.mark.parametrize("form", ["corpus.jsonl", "docs.jsonl", "docs.jsonl.gz", "docs.json", "docs.csv", "docs.parquet", "shards"])
def test_every_form_gives_the_same_documents(tmp_path: Path, form: str) -> None:
    if form == "docs.jsonl":
        (tmp_path / form).write_text(lines(*ROWS), encoding="utf-8")
        path = tmp_path / form
    else:
        path = write(tmp_path, form)
    source = find(str(path), Columns(), tmp_path)
    assert [(each.id, each.text, each.language) for each in source.documents()] == SEEN
    assert source.check() == Checked(2, 1)


@pytest.mark.parametrize("form", ["docs.csv", "docs.parquet", "docs.jsonl"])
def test_columns_can_be_named(tmp_path: Path, form: str) -> None:
    rows = [{"SKU": 7, "Name": "Kaffe", "About": "Mørk", "text": "no"}]
    path = tmp_path / form
    if form == "docs.csv":
        path.write_text("SKU,Name,About,text\n7,Kaffe,Mørk,no\n", encoding="utf-8")
    elif form == "docs.jsonl":
        path.write_text(lines(*rows), encoding="utf-8")
    else:
        pq.write_table(pa.Table.from_pylist(rows), path)
    [document] = find(str(path), Columns("SKU", ("Name", "About")), tmp_path).documents()
    assert (document.id, document.text, document.language) == ("7", "Kaffe Mørk", None)


def test_the_ending_of_a_file_may_be_in_upper_case(tmp_path: Path) -> None:
    (tmp_path / "DOCS.CSV").write_text("id,text\n1,Kaffe\n", encoding="utf-8")
    [document] = find(str(tmp_path / "DOCS.CSV"), Columns(), tmp_path).documents()
    assert document.text == "Kaffe"


def test_a_document_may_be_longer_than_a_field_of_csv_usually_is(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(f'id,text\n1,"{"ord " * 50_000}"\n', encoding="utf-8")
    [document] = find(str(tmp_path / "a.csv"), Columns(), tmp_path).documents()
    assert len(document.text) == 199_999


def test_an_evaluation_set_is_named_as_in_params(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "resolved").mkdir()
    (tmp_path / "resolved/evaluate.yaml").write_bytes((ROOT / "resolved/evaluate.yaml").read_bytes())
    for split in ("NanoMadeNb", "NanoMadeSv"):
        tables = {
            "corpus": {"_id": ["a", "b"], "text": ["øl", "brus"]},
            "queries": {"_id": ["q"], "text": ["hva"]},
            "qrels": {"query-id": ["q"], "corpus-id": ["a"]},
        }
        for part, columns in tables.items():
            (tmp_path / "eval/sample" / part).mkdir(parents=True, exist_ok=True)
            pq.write_table(pa.table(columns), tmp_path / "eval/sample" / part / f"{split}.parquet")
    every = find("sample", Columns(), tmp_path / "eval")
    assert every.check().documents == 4
    assert [(each.id, each.language) for each in every.documents()][::3] == [("NanoMadeNb/a", "nb"), ("NanoMadeSv/b", "sv")]
    assert [each.id for each in find("sample/NanoMadeSv", Columns(), tmp_path / "eval").documents()] == ["a", "b"]
    with refused("sample/Nowhere … NanoMadeNb"):
        find("sample/Nowhere", Columns(), tmp_path / "eval").check()
    with refused("sample: … leave out … --text"):
        find("sample", Columns(texts=("text",)), tmp_path / "eval")
    with refused("nowhere: … evaluation set"):
        find("nowhere", Columns(), tmp_path / "eval")


@pytest.mark.parametrize(
    ("name", "content", "fault"),
    [
        ("a.jsonl", lines({"id": 1, "text": "x"}) + "{", "a.jsonl: line 2 … JSON"),
        ("a.jsonl", lines({"id": 1, "text": "x"}, [1]), "line 2 … object"),
        ("a.jsonl", lines({"id": 1, "text": "x"}, {"id": 2}), 'line 2 … "text" … --text'),
        ("a.jsonl", lines({"text": "x"}), 'line 1 … "_id" … --id'),
        ("a.jsonl", lines({"id": 1, "text": ["x"]}), 'line 1 … "text" … string'),
        ("a.jsonl", lines({"id": 1, "text": "x"}, {"id": 2, "text": "y"}, {"id": 1, "text": "z"}), "line 3 … '1' a second time"),
        ("a.jsonl", lines({"id": "", "text": "x"}), 'line 1 … empty "id"'),
        ("a.jsonl", lines({"id": 1, "text": " "}), "no document with a text … --text"),
        ("a.jsonl", "", "is empty"),
        ("a.csv", "id,body text\n1,x\n", 'no column "text" … id, body text … --text'),
        ("a.csv", "sku,text\n1,x\n", 'no column "_id" … sku, text … --id'),
        ("a.csv", "id,text\n1,x\n2,y,z\n", "line 3 … 3 fields"),
        ("a.csv", b"id,text\n1,x\n2,\xff\n", "line 3 … UTF-8"),
        ("a.parquet", "no parquet", "a.parquet … parquet file"),
        ("a.docx", "x", "a.docx … must be one of .csv"),
    ],
)
def test_a_fault_is_named_with_its_line(tmp_path: Path, name: str, content: str | bytes, fault: str) -> None:
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with refused(fault):
        find(str(tmp_path / name), Columns(), tmp_path).check()


def test_a_folder_without_documents_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / ".hidden.jsonl").write_text(lines(*ROWS))
    with refused(str(tmp_path), "holds no documents … corpus.jsonl"):
        find(str(tmp_path), Columns(), tmp_path)
