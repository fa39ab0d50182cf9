"""A folder of documents without queries: titles and key phrases take their place."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stages.format.cleaning import format_set
from stages.format.sources import reader
from stages.format.sources.chunk import Options
from stages.format.sources.documents import EMPTY, NO_QUERY, ONLY_QUERY
from stages.format.sources.folder import RawFolder
from stages.retrieval.products import load
from tests.refused import refused
from tests.unit.format.sources.conftest import read_all

SHOP = (
    "id;title;brand;description;bullets\r\n"
    '17;Vannkoker 1,7 liter;Fjordlo;<p>Slår seg av når vannet koker.</p>;"Kalkfilter\nRød"\r\n'
    "18;Telt for to;Granmo;Lett telt med ekstra rom;\r\n"
)


def pairs(folder, **options):
    return [(row["anchor"], row["positive"]) for row in read_all("documents", folder, **options)[0]]


def test_titles_and_key_phrases_find_the_product_in_the_form_that_evaluation_searches(tmp_path):
    (tmp_path / "products.csv").write_text(SHOP, encoding="utf-8-sig")
    (tmp_path / "judgements.csv").write_text("query;product_id;grade\nnoe å koke i;17;E\n", encoding="utf-8")
    kettle, tent = load(tmp_path, "shop")[0].corpus.values()
    assert kettle == "[Fjordlo] Vannkoker 1,7 liter | Slår seg av når vannet koker. | Kalkfilter; Rød"
    assert pairs(tmp_path, key_phrases=0) == [("Vannkoker 1,7 liter", kettle), ("Telt for to", tent)]
    found = pairs(tmp_path, key_phrases=2)
    assert [positive for _, positive in found] == [kettle] * 3 + [tent] * 3
    assert all(anchor in positive for anchor, positive in found)


@pytest.mark.parametrize("written", ["corpus.jsonl", "texts.parquet", "corpus.csv", "page.md", "Åpningstider.txt"])
def test_texts_are_read_in_every_form(tmp_path, written):
    title, text = "Åpningstider", "Biblioteket åpner klokka åtte."
    path = tmp_path / written
    match path.suffix:
        case ".jsonl":
            path.write_text(json.dumps({"_id": "d1", "title": title, "text": text}) + "\n", encoding="utf-8")
        case ".parquet":
            pq.write_table(pa.table({"heading": [title], "body": [text]}), path)
        case ".csv":
            path.write_text(f"title,text\n{title},{text}\n", encoding="utf-8")
        case ".md":
            path.write_text(f"# {title}\n\n{text}\n", encoding="utf-8-sig")
        case _:
            path.write_text(text, encoding="utf-8")
    assert pairs(tmp_path, key_phrases=0) == [(title, f"{title} {text}")]


def test_bullets_may_be_a_list(tmp_path, write):
    write("products.parquet", [{"product_title": "Telt", "product_bullet_point": ["Lett", "Rødt"]}])
    assert pairs(tmp_path, key_phrases=0) == [("Telt", "Telt | Lett; Rødt")]


def test_files_that_hold_no_documents_are_left_out(tmp_path):
    (tmp_path / "corpus.jsonl").write_text('{"title": "T", "text": "en to"}\n', encoding="utf-8")
    (tmp_path / "queries.jsonl").write_text('{"_id": "q", "text": "spørsmål"}\n', encoding="utf-8")
    (tmp_path / "README.md").write_text("# A set\n\ntexts\n", encoding="utf-8")
    (tmp_path / "prices.csv").write_text("id;price\n17;3\n", encoding="utf-8")
    (tmp_path / "test.jsonl").write_text('{"title": "T", "text": "tre"}\n', encoding="utf-8")
    raw = RawFolder(tmp_path)
    [found] = reader("documents")(raw, "train", Options(key_phrases=0))
    assert found.rows["positive"].to_pylist() == ["T en to"]
    account = raw.account()
    assert [name for name in account if "not read" in account[name]] == ["README.md", "prices.csv", "queries.jsonl", "test.jsonl"]
    assert raw.warnings() == []


def test_a_file_without_rows_is_called_so(tmp_path):
    (tmp_path / "corpus.jsonl").write_text("", encoding="utf-8")
    (tmp_path / "products.csv").write_text("id;title\n", encoding="utf-8")
    (tmp_path / "a.txt").write_text("en to", encoding="utf-8")
    raw = RawFolder(tmp_path)
    [*reader("documents")(raw, "train", Options())]
    assert [account.get("not read") for account in raw.account().values()] == [None, "it has no rows", "it has no rows"]


def test_a_folder_without_documents_is_refused(tmp_path):
    (tmp_path / "prices.csv").write_text("id;price\n17;3\n", encoding="utf-8")
    with refused("no documents", "title"):
        read_all("documents", tmp_path)


def test_a_text_that_is_not_utf8_is_named(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"r\xf8dt")
    with refused("a.txt", "UTF-8"):
        read_all("documents", tmp_path)


def test_every_document_is_accounted_for_once_under_its_own_reason(tmp_path):
    lines = [{"title": "T", "text": "en varm sovepose"}, {"title": "", "text": ""}, {"title": "Bare tittel", "text": None}, {"text": "1 2"}]
    lines += [{"text": " "}, {"text": "Ullteppe"}, {"title": "To  STOLER!", "text": ""}]
    folder = tmp_path / "raw"
    folder.mkdir()
    (folder / "corpus.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    (folder / "empty.txt").write_text("\n \n", encoding="utf-8-sig")
    raw = RawFolder(folder)
    report = format_set("set", lambda split: reader("documents")(raw, split, Options(key_phrases=1, language="nb")), tmp_path / "made", raw)
    assert report["files"] == {"corpus.jsonl": {"train": 7}, "empty.txt": {"train": 1}}
    assert report["train"]["dropped"] == {EMPTY: 3, NO_QUERY: 1, ONLY_QUERY: 2}
    rows = pq.read_table(tmp_path / "made" / "train.parquet").to_pylist()
    assert [(row["anchor"], row["positive"]) for row in rows][-1] == ("To STOLER", "To  STOLER!")
    assert len(rows) == report["train"]["kept"] == 3


def test_there_are_no_dev_rows(tmp_path):
    (tmp_path / "dev.jsonl").write_text('{"title": "T", "text": "en to"}\n', encoding="utf-8")
    assert read_all("documents", tmp_path, "dev")[0] == []
