"""The training curve as a file and as a picture, with and without scores on the validation sets."""

import csv
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from stages.train.pictures import draw_training_curve
from stages.train.run import write_curve

ACTIVE = {"query_active_dims": 9.0, "document_active_dims": 20.0}
LOSS = [{"step": step, "epoch": step / 4, "loss": 1 / step, "base_loss": 1 / step, "query_regularizer_loss": 0.1} for step in (1, 2, 3)]
SCORES = {"eval_NanoBEIR_mean_dot_ndcg@10": 0.4, "eval_mean_ndcg@10": 0.5, "eval_mean_query_active_dims": 9.0}
LABELS = {"eval_NanoBEIR_mean_dot_ndcg@10": "NanoBEIR mean, n = 2 sets", "eval_mean_ndcg@10": "mean, n = 3 sets"}
PLAIN = {"contrastive loss": {"base loss": [1, 2, 3]}, "other loss terms": {"query regularizer loss": [1, 2, 3]}}
SPARSE = {"active dimensions": {"query active dims": [1, 2, 3], "document active dims": [1, 2, 3]}}
VALIDATION = {"validation": {"NanoBEIR mean, n = 2 sets": [2, 4], "mean, n = 3 sets": [2, 4]}}


def test_scores_are_in_the_row_of_their_step(tmp_path: Path) -> None:
    write_curve(LOSS, tmp_path / "plain.csv")
    write_curve([LOSS[0], LOSS[1] | SCORES, LOSS[2], {"step": 4} | SCORES], tmp_path / "scored.csv")
    assert (tmp_path / "plain.csv").read_text().splitlines()[0] == "step,base_loss,loss,query_regularizer_loss"
    with (tmp_path / "scored.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["eval_mean_ndcg@10"] for row in rows] == ["", "0.5", "", "0.5"] and rows[3]["loss"] == ""


@pytest.mark.parametrize(("active", "scores", "panels"), [
    ({}, {}, PLAIN), (ACTIVE, {}, PLAIN | SPARSE), ({}, SCORES, PLAIN | VALIDATION), (ACTIVE, SCORES, PLAIN | SPARSE | VALIDATION),
])  # fmt: skip
def test_every_value_is_in_the_panel_of_its_unit_and_no_legend_covers_it(
    active: dict[str, float],
    scores: dict[str, float],
    panels: dict[str, dict[str, list[int]]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    drawn: list[Figure] = []
    monkeypatch.setattr("stages.train.pictures.save", lambda figure, path: drawn.append(figure))
    rows = [row | active for row in LOSS]
    write_curve([rows[0], rows[1] | scores, rows[2], *([{"step": 4} | scores] if scores else [])], tmp_path / "curve.csv")
    draw_training_curve(tmp_path / "curve.csv", tmp_path / "curve.png", 32, LABELS)
    [figure] = drawn
    figure.draw_without_rendering()
    found = {axis.get_title(): {str(line.get_label()): list(line.get_xdata()) for line in axis.lines} for axis in figure.axes}
    assert found == panels
    for axis in figure.axes:
        legend = axis.get_legend()
        assert legend and not legend.get_window_extent().overlaps(axis.get_window_extent())
        assert "32 rows" in axis.get_xlabel() and axis.get_ylabel()


def test_a_run_too_short_to_be_logged_has_a_picture(tmp_path: Path) -> None:
    write_curve([], tmp_path / "curve.csv")
    draw_training_curve(tmp_path / "curve.csv", tmp_path / "curve.png", 32, {})
    assert (tmp_path / "curve.png").stat().st_size
