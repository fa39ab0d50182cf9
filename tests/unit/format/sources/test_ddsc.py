from tests.unit.format.sources.conftest import read_all

WORDS = {"norwegian": "nb", "danish": "da", "swedish": "sv", "norwegian nynorsk": "nn", "Norwegian": "nb"}


def row(language, negative=None):
    texts = {"query": "q", "positive": "p", "negative": negative}
    return texts | {"instruction": "i", "task": "retrieval", "prompt": "x", "response": "y", "language": language}


def test_language_words_become_codes(tmp_path, write):
    write("train.parquet", [row(word) for word in WORDS])
    assert [each["language"] for each in read_all("ddsc", tmp_path)[0]] == list(WORDS.values())


def test_a_null_negative_stays_a_pair_and_no_other_column_comes_along(tmp_path, write):
    write("train.parquet", [row("danish"), row("danish", "n")])
    rows, _ = read_all("ddsc", tmp_path)
    assert [each["negative"] for each in rows] == [None, "n"]
    assert set(rows[0]) == {"anchor", "positive", "negative", "language"}


def test_languages_are_chosen_and_unknown_ones_dropped(tmp_path, write):
    write("train.parquet", [row("danish"), row("swedish"), row("klingon"), row(None)])
    rows, dropped = read_all("ddsc", tmp_path, languages=("sv",))
    assert ([each["language"] for each in rows], dropped) == (["sv"], {"language not chosen": 3})
    rows, dropped = read_all("ddsc", tmp_path)
    assert ([each["language"] for each in rows], dropped) == (["da", "sv"], {"language not chosen": 2})
