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
    """The terms of the loss over the steps: the contrastive one on the left, the rest, which are far smaller, beside it.

    Where checkpoints were scored, their nDCG@10 on the right.
    """
    with curve.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    steps = [int(row["step"]) for row in rows]
    columns = list(rows[0] if rows else {})
    scores = [name for name in columns if name.startswith("eval_") and name.endswith("ndcg@10")]
    terms = [name for name in columns if name.endswith("loss") or "_loss_" in name]
    large = [name for name in terms if name == "base_loss"] or ["loss"]
    small = [name for name in terms if name not in (*large, "loss")]
    figure, axes = plt.subplots(1, 3 if scores else 2, figsize=(15 if scores else 10, 4), layout="constrained")
    for axis, names, title in ((axes[0], large, "contrastive loss"), (axes[1], small, "terms beside the contrastive one")):
        for name in names:
            axis.plot(steps, [float(row[name] or "nan") for row in rows], label=name.replace("_", " "))
        axis.set(xlabel="step", title=title, ylim=(0, None))
        axis.grid(alpha=0.3)
        if names:
            axis.legend(frameon=False)
    if scores:
        scored = [row for row in rows if row[scores[0]]]
        for name in scores:
            bold = {"color": OURS, "linewidth": 2.5} if "mean" in name else {"alpha": 0.5}
            axes[2].plot([int(row["step"]) for row in scored], [float(row[name]) for row in scored], marker="o", label=name[5:], **bold)
        axes[2].set(xlabel="step", title="nDCG@10 on the validation sets")
        axes[2].grid(alpha=0.3)
        axes[2].legend(frameon=False, fontsize=8)
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


def draw_data(formatted: Mapping[str, Any], mixed: Mapping[str, Any], picture: Path) -> None:
    """What became of every training row of each set, as shares of the rows read: used in an epoch, kept but unused, dropped by reason."""
    reasons = sorted({reason for report in formatted.values() for reason in report["train"]["dropped"]})
    colours = {"used in an epoch": OURS, "kept, not used": "#8fbfe0"} | {
        reason: plt.get_cmap("Oranges")(0.85 - 0.6 * place / max(1, len(reasons))) for place, reason in enumerate(reasons)
    }
    figure, axis = plt.subplots(figsize=(10, 1.8 + 0.5 * len(formatted)), layout="constrained")
    for place, (name, report) in enumerate(formatted.items()):
        train, used = report["train"], mixed[name]["used"]
        parts = {"used in an epoch": used, "kept, not used": train["kept"] - used, **train["dropped"]}
        left = 0.0
        for part, rows in parts.items():
            share = rows / max(1, train["read"])
            axis.barh(place, share, left=left, color=colours[part], height=0.6)
            left += share
        axis.text(1.01, place, f"{used:,} of {train['read']:,}", va="center", fontsize=9)
    axis.set(yticks=range(len(formatted)), yticklabels=list(formatted), xlim=(0, 1.2), xlabel="share of the rows read")
    axis.set_xticks([0, 0.25, 0.5, 0.75, 1.0])
    axis.invert_yaxis()
    handles = [plt.Rectangle((0, 0), 1, 1, color=colour, label=part) for part, colour in colours.items()]
    axis.legend(handles=handles, frameon=False, ncols=4, fontsize=9, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    axis.spines[["top", "right"]].set_visible(False)
    _save(figure, picture)


def _save(figure: Figure, picture: Path) -> None:
    figure.savefig(picture, format="png", dpi=120, metadata={"Software": None})
    plt.close(figure)
