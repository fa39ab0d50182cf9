"""The pictures of `dvc plots show`, drawn here so that they need no network (dvc's own plots load Vega from one)."""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

OURS, BASELINE = "#1b6ca8", "#c0c7ce"


def draw_training_curve(curve: Path, picture: Path) -> None:
    """The terms of the loss over the steps: the contrastive one on the left, the rest, which are far smaller, on the right."""
    with curve.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    steps = [int(row["step"]) for row in rows]
    terms = [name for name in (rows[0] if rows else {}) if name.endswith("loss") or "_loss_" in name]
    large = [name for name in terms if name == "base_loss"] or ["loss"]
    small = [name for name in terms if name not in (*large, "loss")]
    figure, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    for axis, names, title in ((axes[0], large, "contrastive loss"), (axes[1], small, "terms beside the contrastive one")):
        for name in names:
            axis.plot(steps, [float(row[name] or "nan") for row in rows], label=name.replace("_", " "))
        axis.set(xlabel="step", title=title, ylim=(0, None))
        axis.grid(alpha=0.3)
        if names:
            axis.legend(frameon=False)
    _save(figure, picture)


def draw_evaluation(evaluation: Mapping[str, Any], picture: Path) -> None:
    """nDCG@10 of the model beside BM25's, a pair of bars an evaluation set, the mean last."""
    rows = {name: row for name, row in evaluation.items() if isinstance(row, Mapping)}
    figure, axis = plt.subplots(figsize=(8, 1.2 + 0.6 * len(rows)), layout="constrained")
    for place, row in enumerate(rows.values()):
        for offset, key, colour in ((-0.2, "ndcg@10", OURS), (0.2, "bm25_ndcg@10", BASELINE)):
            axis.barh(place + offset, row[key], height=0.38, color=colour)
            axis.text(row[key] + 0.01, place + offset, f"{row[key]:.3f}", va="center", fontsize=9)
    axis.set(yticks=range(len(rows)), yticklabels=list(rows), xlim=(0, 1.1), xlabel="nDCG@10")
    axis.invert_yaxis()
    axis.legend(
        handles=[
            plt.Rectangle((0, 0), 1, 1, color=OURS, label="model"),
            plt.Rectangle((0, 0), 1, 1, color=BASELINE, label="BM25"),
        ],
        frameon=False,
        ncols=2,
        loc="lower center",
        bbox_to_anchor=(0.5, 1.0),
    )
    axis.spines[["top", "right"]].set_visible(False)
    _save(figure, picture)


def _save(figure: Figure, picture: Path) -> None:
    figure.savefig(picture, format="png", dpi=120, metadata={"Software": None})
    plt.close(figure)
