"""A long document is trained on by the window that answers its row's query."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from transformers import AutoTokenizer

from stages.retrieval.windows import Windows
from stages.train.data import open_rows
from stages.train.passages import with_best_windows

FERRY = "Eg veit ikkje når ferja går frå kaia. " * 6
MUSEUM = "Hvor meget koster en billet til museet i Aarhus? " * 6
PRICE = "Båten till ön avgår varje timme från bryggan. "


@pytest.fixture(scope="module")
def windows(base: Path) -> Windows:
    return Windows(AutoTokenizer.from_pretrained(base), length=40, overlap=4)


def table(*rows: tuple[str, str, str | None]) -> pa.Table:
    anchors, positives, negatives = zip(*rows, strict=True)
    return pa.table({"anchor": anchors, "positive": positives, "negative": pa.array(negatives, pa.string()), "batch": [0] * len(rows)})


def test_the_window_that_shares_the_anchors_rare_words_replaces_a_long_text(windows: Windows) -> None:
    long = FERRY + PRICE + MUSEUM
    rows = with_best_windows(
        table(("båten från bryggan", long, None), ("billet til museet", long, "kort tekst"), ("når går ferja", "kort", long)), windows
    ).to_pylist()
    assert "bryggan" in rows[0]["positive"] and "museet" in rows[1]["positive"] and "ferja" in rows[2]["negative"]
    assert all(row["positive"] in long for row in rows[:2])
    assert [rows[0]["negative"], rows[1]["negative"], rows[2]["positive"]] == [None, "kort tekst", "kort"]
    assert windows.count([row["positive"] for row in rows]).max() <= windows.room


@pytest.mark.parametrize(("answer", "found"), [("søppelet", "mandag"), ("KAIA", "ferja"), ("kai", "museet"), (None, "museet")])
def test_the_window_with_the_answer_as_a_word_comes_first(answer: str | None, found: str, windows: Windows) -> None:
    long = FERRY + MUSEUM + "Kommunen tømmer søppelet hver mandag morgen. " * 4
    rows = table(("billet til museet", long, long)).append_column("answer", pa.array([answer], pa.string()))
    [row] = with_best_windows(rows, windows).to_pylist()
    assert found in row["positive"] and "museet" in row["negative"]


def test_an_anchor_that_shares_nothing_gets_the_first_window(windows: Windows) -> None:
    [row] = with_best_windows(table(("", FERRY + MUSEUM, None)), windows).to_pylist()
    assert (FERRY + MUSEUM).startswith(row["positive"])


def test_rows_without_long_texts_stay_as_they_are(windows: Windows) -> None:
    rows = table(("a", "kort", None), ("b", "like kort", "kort"))
    assert with_best_windows(rows, windows) is rows


def test_the_rows_of_a_training_run_are_the_same_every_time_they_are_opened(windows: Windows, tmp_path: Path) -> None:
    rows = table(("båten", FERRY + PRICE + MUSEUM, None), ("museet", MUSEUM + FERRY, None)).append_column("source", pa.array(["a", "a"]))
    pq.write_table(rows.set_column(3, "batch", pa.array([0, 0], pa.int32())), tmp_path / "train.parquet")
    opened = [open_rows(tmp_path / "train.parquet", tmp_path / f"{name}.arrow", windows=windows) for name in "ab"]
    assert opened[0].texts[:] == opened[1].texts[:]
    assert (tmp_path / "a.arrow").read_bytes() == (tmp_path / "b.arrow").read_bytes()
    assert windows.count(opened[0].texts["positive"][:]).max() <= windows.room
    assert open_rows(tmp_path / "train.parquet", tmp_path / "c.arrow").texts["positive"][0] == rows["positive"][0].as_py()
