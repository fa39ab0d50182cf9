"""Parallel text in the forms of OPUS and the Hub: either side may be the anchor."""

import gzip
import json

import pytest

from stages.format.sources import reader
from stages.format.sources.chunk import Options
from stages.format.sources.folder import RawFolder
from tests.refused import refused
from tests.unit.format.sources.conftest import read_all

DA, SV = [f"rødgrød nummer {i}" for i in range(40)], [f"sjömansbiff nummer {i}" for i in range(40)]


def pairs(folder, split="train"):
    """The pairs in the order of the languages, and the languages of their anchors."""
    rows, _ = read_all("parallel", folder, split, languages=("da", "sv"))
    sides = [(row["anchor"], row["positive"]) if row["language"] == "da" else (row["positive"], row["anchor"]) for row in rows]
    return sides, [row["language"] for row in rows]


def in_columns(folder, write):
    write("train.parquet", [{"sv": sv, "Danish": da, "score": 1.0} for da, sv in zip(DA, SV, strict=True)])


def in_structs(folder, write):
    write("da-sv/train.parquet", [{"translation": {"da": da, "sv": sv}} for da, sv in zip(DA, SV, strict=True)])


def in_json(folder, write):
    lines = [json.dumps({"translation": {"da": da, "sv": sv}}) for da, sv in zip(DA, SV, strict=True)]
    (folder / "train.jsonl").write_text("\n".join(lines), encoding="utf-8")


def in_sides(folder, write):
    write("train.parquet", [{"sentence1": da, "sentence2": sv} for da, sv in zip(DA, SV, strict=True)])


def in_tabs(folder, write):
    (folder / "pairs.tsv").write_text("".join(f"{da}\t{sv}\n" for da, sv in zip(DA, SV, strict=True)), encoding="utf-8")


def in_tabs_with_a_header(folder, write):
    text = "".join(f"{sv}\t{da}\r\n" for da, sv in [("da", "sv"), *zip(DA, SV, strict=True)])
    (folder / "pairs.tsv").write_text(text, encoding="utf-8-sig")


def in_lines(folder, write):
    (folder / "Europarl.da-sv.da").write_text("\r\n".join(DA) + "\r\n", encoding="utf-8-sig")
    (folder / "Europarl.da-sv.sv.gz").write_bytes(gzip.compress("\n".join(SV).encode()))


@pytest.mark.parametrize("written", [in_columns, in_structs, in_json, in_sides, in_tabs, in_tabs_with_a_header, in_lines])
def test_either_side_is_the_anchor_in_every_form(tmp_path, write, written):
    written(tmp_path, write)
    found, languages = pairs(tmp_path)
    assert found == list(zip(DA, SV, strict=True))
    assert 10 < languages.count("da") < 30


def test_files_of_other_languages_are_left_out_and_named(tmp_path, write):
    in_structs(tmp_path, write)
    write("da-en/train.parquet", [{"translation": {"da": "en", "en": "one"}}])
    write("en-fi/train.parquet", [{"english": "one", "non_english": "yksi"}])
    write("notes/train.parquet", [{"x": "en"}])
    raw = RawFolder(tmp_path)
    chunks = list(reader("parallel")(raw, "train", Options(languages=("da", "sv"))))
    assert sum(len(chunk.rows) for chunk in chunks) == len(DA)
    account = raw.account()
    assert "other languages" in account["da-en/train.parquet"]["not read"]
    assert "other languages" in account["en-fi/train.parquet"]["not read"]
    assert "(it has x)" in account["notes/train.parquet"]["not read"]


def test_a_missing_translation_is_no_text(tmp_path, write):
    write("train.parquet", [{"translation": {"da": "a", "sv": None}}, {"translation": None}])
    rows, _ = read_all("parallel", tmp_path, languages=("da", "sv"))
    assert [{row["anchor"], row["positive"]} for row in rows] == [{"a", None}, {None}]


@pytest.mark.parametrize("value", ["a", "[1]", {"da": 1, "sv": {"x": 2}}])
def test_a_translation_that_is_no_struct_of_texts_is_refused(tmp_path, value):
    (tmp_path / "train.jsonl").write_text(json.dumps({"translation": value}) + "\n", encoding="utf-8")
    with refused("train.jsonl", '"translation"', "text"):
        pairs(tmp_path)


def test_dev_rows_come_from_their_own_files(tmp_path, write):
    for split in ("train", "dev"):
        write(f"{split}.parquet", [{"da": split, "sv": "x"}])
    assert pairs(tmp_path, "dev")[0] == [("dev", "x")]


def test_files_of_different_length_are_refused(tmp_path):
    (tmp_path / "a.da").write_text("en\nto\n", encoding="utf-8")
    (tmp_path / "a.sv").write_text("ett\n", encoding="utf-8")
    with refused("a.da", "as many lines", "a.sv"):
        pairs(tmp_path)


def test_a_line_that_is_not_utf8_is_named(tmp_path):
    (tmp_path / "a.da").write_bytes(b"en\nr\xf8dt\n")
    (tmp_path / "a.sv").write_text("ett\nrött\n", encoding="utf-8")
    with refused("a.da", "line 2", "UTF-8"):
        pairs(tmp_path)


def test_a_folder_without_both_languages_is_refused(tmp_path):
    (tmp_path / "a.da").write_text("en\n", encoding="utf-8")
    with refused("no parallel text of da and sv"):
        pairs(tmp_path)


def test_refuses_a_tab_separated_file_that_is_not_utf8_from_its_first_line_on(tmp_path):
    (tmp_path / "pairs.tsv").write_bytes("blåbær\tblåbär\n".encode("latin-1"))
    with refused("pairs.tsv", "UTF-8"):
        pairs(tmp_path)
