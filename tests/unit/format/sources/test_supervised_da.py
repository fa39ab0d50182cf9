import pytest

from stages.format.sources import reader
from stages.format.sources.chunk import Options
from stages.format.sources.folder import RawFolder
from stages.format.sources.supervised_da import language_of_name
from tests.refused import refused
from tests.unit.format.sources.conftest import read_all


def row(query, name, label=1.0):
    return {"query": query, "pos": f"svar {query}", "dataset_name": name, "label": label}


ROWS = [row("a", "nli_danish"), row("b", "nli_danish", 0.0), row("c", "qa-swe"), row("d", "qa-no"), row("e", "qa-no", 0.0), row("f", "da")]


def test_label_0_is_not_a_positive_and_the_name_gives_the_language(tmp_path, write):
    write("data/train-00000-of-00001.parquet", ROWS)
    write("data/test-00000-of-00001.parquet", [row("x", "da")])
    rows, dropped = read_all("supervised_da", tmp_path, language="da", languages=("da", "nb", "sv"))
    assert [(each["anchor"], each["language"]) for each in rows] == [("a", "da"), ("c", "sv"), ("d", "nb"), ("f", "da")]
    assert dropped == {"label 0": 2}


def test_names_without_a_language_are_counted_and_refused_at_once(tmp_path, write):
    write("train-0.parquet", [*ROWS, row("g", "lyrics"), row("h", "lyrics")])
    write("train-1.parquet", [row("i", "en-da")])
    with refused("dataset_languages", "'lyrics' (2 rows), 'en-da' (1 rows)"):
        read_all("supervised_da", tmp_path, language="da")


def test_names_are_mapped_by_the_entry(tmp_path, write):
    write("train.parquet", [row("g", "lyrics"), row("h", "other"), row("i", "qa-swe")])
    rows, _ = read_all("supervised_da", tmp_path, dataset_languages={"lyrics": "nn", "*": "da"})
    assert [each["language"] for each in rows] == ["nn", "da", "sv"]


def test_an_older_revision_without_names_and_labels_is_in_the_entrys_language(tmp_path, write):
    write("train.parquet", [{"query": "q", "pos": "p"}])
    assert [each["language"] for each in read_all("supervised_da", tmp_path, language="da")[0]] == ["da"]


def test_languages_that_are_not_chosen_are_dropped(tmp_path, write):
    write("train.parquet", ROWS)
    rows, dropped = read_all("supervised_da", tmp_path, languages=("sv",))
    assert ([each["anchor"] for each in rows], dropped) == (["c"], {"language not chosen": 5})


@pytest.mark.parametrize(
    ("name", "language"),
    [
        ("nb_NO", "nb"),
        ("nn-NO", "nn"),
        ("Swedish_reddit2", "sv"),
        ("dane", None),
        ("en-da", None),
        ("nordic", None),
        ("danish dk", "da"),
        ("wiki-gemma", "da"),
        ("europarl_sv", "sv"),
    ],
)
def test_only_whole_words_give_a_language(name, language):
    assert language_of_name(name, {}) == language


def test_rows_without_a_name_beside_those_with_one_are_noted(tmp_path, write):
    write("train.parquet", [*ROWS, row("g", None)])
    (chunk,) = reader("supervised_da")(RawFolder(tmp_path), "train", Options(language="da"))
    assert dict(chunk.notes) == {"rows read have no dataset_name, taken as da": 1}


def test_a_mapped_name_that_no_row_has_is_warned_of(tmp_path, write):
    write("train.parquet", ROWS)
    raw = RawFolder(tmp_path)
    list(reader("supervised_da")(raw, "train", Options(dataset_languages={"nli_Danish": "sv", "*": "da"})))
    assert ["'nli_Danish'" in warning and "*" not in warning for warning in raw.warnings()] == [True]
