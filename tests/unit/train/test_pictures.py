"""The training curve as a file and as a picture, with and without scores on the validation sets."""

import csv
from pathlib import Path

from stages.train.pictures import draw_training_curve
from stages.train.run import write_curve

LOSS = [{"step": step, "epoch": step / 4, "loss": 1 / step, "base_loss": 1 / step, "document_regularizer_loss": 0.1} for step in (1, 2, 3)]


def test_scores_stand_in_the_row_of_their_step_and_in_the_picture(tmp_path: Path) -> None:
    scores = {"eval_NanoBEIR_mean_dot_ndcg@10": 0.5, "eval_mean_ndcg@10": 0.5, "eval_mean_query_active_dims": 9.0}
    write_curve(LOSS, tmp_path / "plain.csv")
    write_curve([LOSS[0], LOSS[1] | scores, LOSS[2], {"step": 4} | scores], tmp_path / "scored.csv")
    assert (tmp_path / "plain.csv").read_text().splitlines()[0] == "step,base_loss,document_regularizer_loss,loss"
    with (tmp_path / "scored.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["eval_mean_ndcg@10"] for row in rows] == ["", "0.5", "", "0.5"] and rows[3]["loss"] == ""
    widths = {}
    for name in ("plain", "scored"):
        draw_training_curve(tmp_path / f"{name}.csv", tmp_path / f"{name}.png")
        widths[name] = int.from_bytes((tmp_path / f"{name}.png").read_bytes()[16:20], "big")
    assert widths["scored"] > widths["plain"]  # a third picture
