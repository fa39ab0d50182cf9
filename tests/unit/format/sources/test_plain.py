"""The plain kinds: triplets, pairs, ddsc, openbookqa, squad."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stages.format.sources import reader
from stages.format.sources.chunk import Options
from stages.format.sources.folder import RawFolder
from stages.rows.parquet import SCORES
from tests.refused import refused
from tests.unit.format.sources.conftest import read_all


def test_a_null_negative_leaves_a_pair_and_other_columns_are_left_out(tmp_path, write):
    write("train.parquet", [{"anchor": "a", "positive": "p", "negative": None, "instruction": "x", "task_type": "y"}])
    rows, _ = read_all("triplets", tmp_path, language="nb")
    assert rows == [{"anchor": "a", "positive": "p", "negative": None, "language": "nb"}]


def test_the_negative_column_may_be_missing(tmp_path, write):
    write("train.parquet", [{"anchor": "a", "positive": "p"}])
    rows, _ = read_all("triplets", tmp_path)
    assert rows[0]["negative"] is None


def test_dev_comes_from_its_own_files_and_test_from_nowhere(tmp_path, write):
    for split in ("train", "dev", "test"):
        write(f"data/{split}-00000-of-00001.parquet", [{"anchor": split, "positive": "p", "negative": "n"}])
    assert [row["anchor"] for row in read_all("triplets", tmp_path, "train")[0]] == ["train"]
    assert [row["anchor"] for row in read_all("triplets", tmp_path, "dev")[0]] == ["dev"]


def test_a_file_of_no_split_is_divided_by_its_split_field(tmp_path):
    lines = [{"anchor": name, "positive": "p", "negative": "n", "split": name} for name in ("train", "dev", "test", "validation")]
    lines.append({"anchor": "none", "positive": "p", "negative": "n"})
    (tmp_path / "triplets.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    assert [row["anchor"] for row in read_all("triplets", tmp_path, "train")[0]] == ["train", "none"]
    assert [row["anchor"] for row in read_all("triplets", tmp_path, "dev")[0]] == ["dev", "validation"]


def test_a_file_of_no_split_without_the_field_is_training_data(tmp_path):
    (tmp_path / "mine.jsonl").write_text('{"anchor": "a", "positive": "p"}\n', encoding="utf-8")
    assert len(read_all("triplets", tmp_path, "train")[0]) == 1
    assert read_all("triplets", tmp_path, "dev")[0] == []


def test_the_columns_of_eti_read_alike(tmp_path, write):
    write("train.parquet", [{"anchor": "a", "positive": "p", "negative": None, "source": "eti", "language": "x", "mode": "smpl"}])
    rows, _ = read_all("eti", tmp_path, language="nb")
    assert rows == [{"anchor": "a", "positive": "p", "negative": None, "language": "nb"}]


def test_further_negatives_and_scores_are_read_from_parquet_and_json_lines(tmp_path, write):
    full = {"anchor": "a", "positive": "p", "negative": "n", "negative_2": None, "negative_3": "t", "scores": [3.5, 1, -2.0, 0.5]}
    write("train.parquet", [{**full, "negative_id": "x", "scores": [3.5, 1.0, -2.0, 0.5]}])
    (tmp_path / "train.jsonl").write_text(json.dumps(full) + "\n" + json.dumps({"anchor": "b", "positive": "q"}) + "\n", encoding="utf-8")
    rows, _ = read_all("triplets", tmp_path)
    whole = full | {"scores": [3.5, 1.0, -2.0, 0.5], "language": None}
    assert rows == [whole, dict.fromkeys(whole) | {"anchor": "b", "positive": "q"}, whole]
    assert list(rows[0]) == ["anchor", "positive", "negative", "negative_2", "negative_3", "language", "scores"]


def test_the_columns_that_mine_hard_negatives_writes_are_read_in_their_order(tmp_path, write):
    write(
        "train.parquet",
        [{"anchor": "a", "positive": "p", **{f"negative_{i}": f"n{i}" for i in (1, 10, 2)}, "scores": [4.0, 1.0, 2.0, 10.0]}],
    )
    [row] = read_all("triplets", tmp_path)[0]
    assert [row[name] for name in ("negative", "negative_2", "negative_3")] == ["n1", "n2", "n10"]


def test_scores_that_are_not_numbers_are_refused(tmp_path):
    (tmp_path / "train.jsonl").write_text('{"anchor": "a", "positive": "p", "scores": ["good", "bad"]}\n', encoding="utf-8")
    with refused("train.jsonl", '"scores"', "numbers"):
        read_all("triplets", tmp_path)


def test_one_score_per_row_is_not_a_teachers_list(tmp_path, write):
    write("train.parquet", [{"anchor": "a", "positive": "p", "scores": 0.5}])
    assert read_all("triplets", tmp_path)[0][0]["scores"] is None


@pytest.mark.parametrize("kind", [pa.list_(pa.float32(), 2), pa.large_list(pa.float64()), pa.list_view(pa.float64())])
def test_scores_are_read_from_lists_of_every_type(tmp_path, kind):
    table = pa.table({"anchor": ["a"], "positive": ["p"], "negative": ["n"], SCORES: pa.array([[2.0, 1.0]], kind)})
    pq.write_table(table, tmp_path / "train.parquet")
    assert read_all("triplets", tmp_path)[0][0]["scores"] == [2, 1]


def test_columns_that_the_first_row_lacks_are_read(tmp_path):
    rows = [{"anchor": "a", "positive": "p"}, {"positive": "q", "anchor": "b", "negative_1": "n", "negative_2": "m", "scores": [3, 2, 1]}]
    (tmp_path / "train.jsonl").write_text("\r\n".join(map(json.dumps, rows)), encoding="utf-8")
    found, _ = read_all("triplets", tmp_path)
    assert [(row["negative"], row["negative_2"], row["scores"]) for row in found] == [(None, None, None), ("n", "m", [3, 2, 1])]


def test_a_column_that_only_the_last_of_many_rows_has_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr("stages.format.sources.json_rows.READ_ROWS", 2)
    rows = [{"anchor": f"a{i}", "positive": "p"} for i in range(5)] + [{"anchor": "b", "positive": "p", "negative": "n"}]
    (tmp_path / "train.json").write_text(json.dumps(rows, indent=2), encoding="utf-8-sig")
    assert [row["negative"] for row in read_all("triplets", tmp_path)[0]] == [None] * 5 + ["n"]


def test_every_text_of_a_list_makes_a_row(tmp_path, write):
    write("train.parquet", [{"query": "q1", "pos": ["a", "b"]}, {"query": "q2", "pos": []}, {"query": "q3", "pos": None}])
    rows, dropped = read_all("pairs", tmp_path, language="da")
    assert [(row["anchor"], row["positive"], row["language"]) for row in rows] == [("q1", "a", "da"), ("q1", "b", "da")]
    assert dropped == {"no positive": 2}


def test_a_plain_text_makes_one_row(tmp_path, write):
    write("train.parquet", [{"query": "q", "pos": "a"}])
    assert [(row["anchor"], row["positive"]) for row in read_all("pairs", tmp_path)[0]] == [("q", "a")]


def test_json_lines_may_hold_both_kinds(tmp_path):
    (tmp_path / "train.jsonl").write_text('{"query": "q", "pos": "a"}\n{"query": "r", "pos": ["b", "c"]}\n', encoding="utf-8")
    rows, _ = read_all("pairs", tmp_path)
    assert [(row["anchor"], row["positive"]) for row in rows] == [("q", "a"), ("r", "b"), ("r", "c")]


@pytest.mark.parametrize("kind", ["pairs", "triplets"])
@pytest.mark.parametrize("labels", [[1, 0, None], [1.0, 0.0, float("nan")], ["1", "0", ""], [True, False, None]])
def test_a_row_with_label_0_of_any_type_is_not_a_positive(tmp_path, write, kind, labels):
    names = ("query", "pos") if kind == "pairs" else ("anchor", "positive")
    write("train.parquet", [{names[0]: f"q{i}", names[1]: "p", "label": label} for i, label in enumerate(labels)])
    chunks = list(reader(kind)(RawFolder(tmp_path), "train", Options(language="da")))
    assert [text for chunk in chunks for text in chunk.rows["anchor"].to_pylist()] == ["q0", "q2"]
    assert [(chunk.dropped, chunk.notes) for chunk in chunks] == [({("label 0", "da"): 1}, {"no label, taken as positive": 1})]


def test_labels_in_json_lines_and_between_0_and_1(tmp_path):
    lines = [{"query": f"q{i}", "pos": ["p", "r"], "label": label} for i, label in enumerate([1, 0.0, 0.4])]
    (tmp_path / "train.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    rows, dropped = read_all("pairs", tmp_path)
    assert [row["positive"] for row in rows] == ["p", "r"]
    assert dropped == {"label 0": 1, "label between 0 and 1": 1}


@pytest.mark.parametrize("label", [2, -1, "entailment"])
def test_a_label_of_unknown_meaning_is_refused(tmp_path, write, label):
    write("train.parquet", [{"query": "q", "pos": "p", "label": label}])
    with refused("train.parquet", '"label"', str(label)):
        read_all("pairs", tmp_path)


@pytest.mark.parametrize("kind", [pa.list_(pa.string(), 2), pa.large_list(pa.large_string()), pa.list_view(pa.string())])
def test_lists_of_every_type_are_read(tmp_path, kind):
    lists = [["a", "b"], None, ["c", "d"]]
    table = pa.table({"query": ["q", "r", "s"], "pos": pa.array(lists, kind)})
    with pa.ipc.new_stream(str(tmp_path / "train.arrow"), table.schema) as writer:  # parquet has no null of a fixed-size list
        writer.write_table(table)
    pq.write_table(table[2:], tmp_path / "train.parquet")
    rows, dropped = read_all("pairs", tmp_path)
    assert ([row["positive"] for row in rows], dropped) == (["a", "b", "c", "d", "c", "d"], {"no positive": 1})


@pytest.mark.parametrize("suffix", ["parquet", "jsonl"])
def test_a_list_of_structs_is_refused_by_name(tmp_path, write, suffix):
    rows = [{"query": "q", "pos": [{"text": "a"}]}]
    if suffix == "parquet":
        write("train.parquet", rows)
    else:
        (tmp_path / "train.jsonl").write_text(json.dumps(rows[0]))
    with refused(f"train.{suffix}", '"pos"', "text"):
        read_all("pairs", tmp_path)


LANGUAGE_WORDS = {"norwegian": "nb", "danish": "da", "swedish": "sv", "norwegian nynorsk": "nn", "Norwegian": "nb"}


def ddsc_row(language, negative=None):
    texts = {"query": "q", "positive": "p", "negative": negative}
    return texts | {"instruction": "i", "task": "retrieval", "prompt": "x", "response": "y", "language": language}


def test_language_words_become_codes(tmp_path, write):
    write("train.parquet", [ddsc_row(word) for word in LANGUAGE_WORDS])
    assert [each["language"] for each in read_all("ddsc", tmp_path)[0]] == list(LANGUAGE_WORDS.values())


def test_a_null_negative_stays_a_pair_and_no_other_column_comes_along(tmp_path, write):
    write("train.parquet", [ddsc_row("danish"), ddsc_row("danish", "n")])
    rows, _ = read_all("ddsc", tmp_path)
    assert [each["negative"] for each in rows] == [None, "n"]
    assert set(rows[0]) == {"anchor", "positive", "negative", "language"}


def test_languages_are_chosen_and_unknown_ones_dropped(tmp_path, write):
    write("train.parquet", [ddsc_row("danish"), ddsc_row("swedish"), ddsc_row("klingon"), ddsc_row(None)])
    rows, dropped = read_all("ddsc", tmp_path, languages=("sv",))
    assert ([each["language"] for each in rows], dropped) == (["sv"], {"language not chosen": 3})
    rows, dropped = read_all("ddsc", tmp_path)
    assert ([each["language"] for each in rows], dropped) == (["da", "sv"], {"language not chosen": 2})


def test_a_question_without_a_fact_is_dropped_and_counted(tmp_path, write):
    facts = ["fakta", "", "  ", None]
    write("nb/train.parquet", [{"question_stem": f"spørsmål {i}", "fact": fact, "id": i} for i, fact in enumerate(facts)])
    rows, dropped = read_all("openbookqa", tmp_path)
    assert rows == [{"anchor": "spørsmål 0", "positive": "fakta", "negative": None, "language": "nb"}]
    assert dropped == {"no fact": 3}


def test_both_written_forms_are_told_apart(tmp_path, write):
    for language in ("nb", "nn"):
        write(f"{language}/train.parquet", [{"question_stem": "s", "fact": "f"}])
    assert {row["language"] for row in read_all("openbookqa", tmp_path)[0]} == {"nb", "nn"}
    rows, dropped = read_all("openbookqa", tmp_path, languages=("nn",))
    assert ([row["language"] for row in rows], dropped) == (["nn"], {"language not chosen": 1})


ROW = {"id": "1", "title": "t", "context": "passasje", "question": "hva?", "answers": {"text": ["p"], "answer_start": [0]}}


def test_the_folder_tells_the_language_and_no_is_bokmal(tmp_path, write):
    for language in ("no", "da", "sv"):
        write(f"{language}/train/0000.parquet", [ROW])
    rows, _ = read_all("squad", tmp_path)
    assert sorted(row["language"] for row in rows) == ["da", "nb", "sv"]
    assert rows[0] | {"language": ""} == {"anchor": "hva?", "positive": "passasje", "negative": None, "answer": "p", "language": ""}


def test_folders_of_languages_that_are_not_chosen_are_dropped_and_counted(tmp_path, write):
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


@pytest.mark.parametrize(
    "answers", [{"text": [], "answer_start": []}, {"text": [""], "answer_start": [-1]}, {"text": ["x"], "answer_start": [-1]}, None]
)
@pytest.mark.parametrize("suffix", ["parquet", "jsonl"])
def test_a_question_without_an_answer_in_its_passage_is_dropped_or_kept(tmp_path, write, suffix, answers):
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
def test_a_question_without_an_answer_is_recognised_in_every_form(tmp_path, empty):
    (tmp_path / "train.jsonl").write_text("\n".join(map(json.dumps, [ROW, ROW | empty])), encoding="utf-8")
    rows, dropped = read_all("squad", tmp_path)
    assert (len(rows), dropped) == (1, {"unanswerable": 1})
