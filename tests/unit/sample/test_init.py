"""The four training sets: native form, sizes, languages, and answers where they are said to be."""

import hashlib
import re
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from stages import sample

ESCI_LABELS = {"Exact", "Substitute", "Complement", "Irrelevant"}


def test_same_seed_gives_the_same_bytes_in_another_process(written: Path, tmp_path: Path) -> None:
    # Another process has another hash seed: an order taken from a set would show.
    script = "import sys, pathlib; from stages import sample; root = pathlib.Path(sys.argv[1])\n"
    script += "for n in (*sample.DATASETS, *sample.EVALUATION_SETS): sample.write_set(n, root / n)\n"
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=True)

    def digests(root: Path) -> dict[str, str]:
        files = sorted(file for file in root.rglob("*") if file.is_file())
        return {str(file.relative_to(root)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}

    assert digests(written) == digests(tmp_path)


def test_another_seed_gives_other_rows(written: Path, tmp_path: Path) -> None:
    sample.write_set("nli", tmp_path, seed=1)
    assert (tmp_path / "train.parquet").read_bytes() != (written / "nli" / "train.parquet").read_bytes()


@pytest.mark.parametrize("name", sample.DATASETS)
def test_each_set_has_a_thousand_rows(rows, name: str) -> None:
    assert len(rows(f"{name}/**/*.parquet")) >= 1000


def test_importing_the_sample_loads_no_heavy_library() -> None:
    script = "import sys, stages.sample; print(sorted({'torch', 'datasets', 'pyarrow', 'pandas'} & set(sys.modules)))"
    out = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert out.stdout.strip() == "[]"


def test_inference_triplets_hold_three_different_texts(rows) -> None:
    for row in rows("nli/*.parquet"):
        assert set(row) == {"anchor", "positive", "negative"}
        assert len(set(row.values())) == 3 and all(text == text.strip() and text for text in row.values())


def test_inference_splits_share_no_triplet(rows) -> None:
    split = [{tuple(row.values()) for row in rows(f"nli/{name}.parquet")} for name in ("train", "dev", "test")]
    assert not (split[0] & split[1] or split[0] & split[2] or split[1] & split[2])


def test_answers_stand_at_their_offset(rows) -> None:
    for row in rows("qa/*/*.parquet"):
        for text, start in zip(row["answers"]["text"], row["answers"]["answer_start"], strict=True):
            assert text and row["context"][start : start + len(text)] == text


def test_questions_share_contexts_but_splits_do_not(rows) -> None:
    for language in ("nb", "nn", "da", "sv"):
        train = Counter(row["context"] for row in rows(f"qa/{language}/train.parquet"))
        validation = {row["context"] for row in rows(f"qa/{language}/validation.parquet")}
        assert min(train.values()) >= 4 and max(train.values()) <= 6
        assert not validation & set(train)


def test_question_ids_are_unique(rows) -> None:
    ids = [row["id"] for row in rows("qa/*/*.parquet")]
    assert len(ids) == len(set(ids))


def test_most_ddsc_negatives_are_null(rows) -> None:
    table = rows("ddsc/train.parquet")
    assert 0.55 <= sum(row["negative"] is None for row in table) / len(table) <= 0.65


def test_ddsc_has_every_task_in_every_language_in_balance(rows) -> None:
    table = rows("ddsc/train.parquet")
    languages = Counter(row["language"] for row in table)
    assert set(languages) == {"norwegian", "norwegian nynorsk", "danish", "swedish"}
    assert max(languages.values()) <= 1.2 * min(languages.values())
    tasks = defaultdict(set)
    for row in table:
        tasks[row["language"]].add(row["task"])
        assert all(row[key] for key in ("query", "positive", "instruction", "prompt", "response"))
    assert all(len(found) == 5 for found in tasks.values())


def test_no_ddsc_row_repeats_a_text_of_its_own(rows) -> None:
    for row in rows("ddsc/train.parquet"):
        assert len({row["query"], row["positive"], row["negative"]}) == 3


def test_product_queries_have_several_graded_products_and_one_split(rows) -> None:
    train, test = rows("esci/train.parquet"), rows("esci/test.parquet")
    assert {row["query_id"] for row in train}.isdisjoint(row["query_id"] for row in test)
    assert {row["query"] for row in train}.isdisjoint(row["query"] for row in test)
    assert {row["product_locale"] for row in train} == {"nb", "nn", "da", "sv"}
    labels = Counter(row["esci_label"] for row in train + test)
    assert set(labels) == ESCI_LABELS
    assert labels["Exact"] > labels["Substitute"] > labels["Complement"]
    grades = defaultdict(set)
    for row in train + test:
        grades[row["query_id"]].add(row["esci_label"])
    assert all({"Exact", "Substitute", "Irrelevant"} <= found for found in grades.values())
    assert len({row["example_id"] for row in train + test}) == len(train + test)


def test_products_hold_html_and_bullets_on_lines(rows) -> None:
    for row in rows("esci/*.parquet"):
        assert "<p>" in row["product_description"] and "&amp;" in row["product_description"]
        assert row["product_bullet_point"].count("\n") >= 2


@pytest.mark.parametrize("pattern", ["nli/*.parquet", "qa/*/*.parquet", "ddsc/*.parquet", "esci/*.parquet"])
def test_no_slot_or_mark_is_left_in_a_text(rows, pattern: str) -> None:
    for row in rows(pattern):
        texts = [value for key, value in row.items() if isinstance(value, str) and key not in ("response",)]
        assert not [text for text in texts if re.search(r"[{}\[\]|]|  ", text)]
