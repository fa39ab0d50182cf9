import json

import pytest

from stages.format.sources import reader
from stages.format.sources.chunk import Options
from stages.format.sources.folder import RawFolder
from tests.unit.format.sources.conftest import read_all

ROW = {"id": "1", "title": "t", "context": "passasje", "question": "hva?", "answers": {"text": ["p"], "answer_start": [0]}}


def test_the_folder_tells_the_language_and_no_is_bokmal(tmp_path, write):
    for language in ("no", "da", "sv"):
        write(f"{language}/train/0000.parquet", [ROW])
    rows, _ = read_all("squad", tmp_path)
    assert sorted(row["language"] for row in rows) == ["da", "nb", "sv"]
    assert rows[0] | {"language": ""} == {"anchor": "hva?", "positive": "passasje", "negative": None, "language": ""}


def test_languages_that_are_not_chosen_are_dropped_and_counted(tmp_path, write):
    write("da/train.parquet", [ROW, ROW])
    write("sv/train.parquet", [ROW])
    rows, dropped = read_all("squad", tmp_path, languages=("sv",))
    assert (len(rows), dropped) == (1, {"language not chosen": 2})


def test_validation_is_dev(tmp_path, write):
    write("da/train/0000.parquet", [ROW])
    write("da/validation/0000.parquet", [ROW, ROW])
    assert len(read_all("squad", tmp_path, "dev")[0]) == 2


def test_without_folders_the_language_is_the_one_given(tmp_path, write):
    write("data/train-00000-of-00001.parquet", [ROW])
    assert read_all("squad", tmp_path, language="nb")[0][0]["language"] == "nb"


EMPTY = [
    {"text": [], "answer_start": []},
    {"text": [""], "answer_start": [-1]},
    {"text": ["x"], "answer_start": [-1]},
    None,
]


@pytest.mark.parametrize("answers", EMPTY)
@pytest.mark.parametrize("suffix", ["parquet", "jsonl"])
def test_a_question_without_an_answer_in_its_passage_is_dropped_unless_it_is_to_be_kept(tmp_path, write, suffix, answers):
    rows = [ROW, ROW | {"question": "ingen?", "answers": answers}]
    if suffix == "parquet":
        write("da/train.parquet", rows)
    else:
        (tmp_path / "da").mkdir()
        (tmp_path / "da" / "train.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    kept, dropped = read_all("squad", tmp_path)
    assert ([row["anchor"] for row in kept], dropped) == (["hva?"], {"unanswerable": 1})
    (chunk,) = reader("squad")(RawFolder(tmp_path), "train", Options(unanswerable="keep"))
    assert (len(chunk.rows), dict(chunk.notes)) == (2, {"unanswerable, kept": 1})


def test_answers_may_be_a_list_a_text_or_said_to_be_impossible(tmp_path):
    forms = [["a"], [], "a", " ", [{"text": "a", "answer_start": 3}], [{"text": "", "answer_start": -1}]]
    rows = [{"question": f"q{i}", "context": "c", "answers": form} for i, form in enumerate(forms)]
    rows.append({"question": "q6", "context": "c", "answers": ["a"], "is_impossible": True})
    (tmp_path / "train.json").write_text(json.dumps(rows), encoding="utf-8")
    kept, dropped = read_all("squad", tmp_path)
    assert ([row["anchor"] for row in kept], dropped) == (["q0", "q2", "q4"], {"unanswerable": 4})


def test_a_set_without_answers_keeps_its_rows(tmp_path, write):
    write("train.parquet", [{"question": "q", "context": "c"}])
    assert len(read_all("squad", tmp_path)[0]) == 1


@pytest.mark.parametrize(
    "empty",
    [
        {"answers": None, "answer": "svar", "answer_start": -1},
        {"answers": {"text": ["svar"], "answer_start": [-1.0]}},
        {"answers": {"text": ["svar"], "answer_start": ["-1"]}},
        {"answers": "{'text': [], 'answer_start': []}"},
        {"answers": "[]"},
        {"is_impossible": "True"},
        {"is_impossible": 1},
    ],
)
def test_a_question_without_an_answer_is_known_in_whatever_form_its_file_says_so(tmp_path, empty):
    (tmp_path / "train.jsonl").write_text("\n".join(map(json.dumps, [ROW, ROW | empty])), encoding="utf-8")
    rows, dropped = read_all("squad", tmp_path)
    assert (len(rows), dropped) == (1, {"unanswerable": 1})
