from tests.sources.conftest import read_all

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
