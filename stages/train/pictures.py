"""The picture of a training run: loss, sparsity and validation scores over the steps."""

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from matplotlib import pyplot as plt

from stages.runtime.pictures import OURS, WIDTH, save


def draw_training_curve(curve: Path, picture: Path, batch_size: int, scores: Mapping[str, str]) -> None:
    """Draw one panel each for the main loss, its other terms (far smaller), sparsity and, if checkpoints were scored, validation.

    Args:
        curve: the CSV file of a training run.
        batch_size: rows per step.
        scores: the curve's validation scores → what the legend calls them.
    """
    with curve.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    columns = list(rows[0]) if rows else ["loss"]
    terms = [name for name in columns if name.endswith("loss") or "_loss_" in name]
    main = "base_loss" if "base_loss" in terms else "loss"
    panels: list[tuple[str, str, Iterable[str]]] = [
        ("contrastive loss" if main == "base_loss" else "loss", "mean per row", [main]),
        ("other loss terms", "weighted mean", [name for name in terms if name not in (main, "loss")]),
        ("active dimensions", "running mean per text", ["query_active_dims", "document_active_dims"]),
        ("dead latents", "share of all latents", ["dead_latents"]),
        ("validation", "nDCG@10", scores),
    ]
    shown = [(title, unit, there) for title, unit, names in panels if (there := [name for name in names if name in columns])]
    columns_of_panels = min(len(shown), 3) if len(shown) != 4 else 2
    rows_of_panels = -(-len(shown) // columns_of_panels)
    size = (WIDTH, 3.3 * rows_of_panels)
    figure, axes = plt.subplots(rows_of_panels, columns_of_panels, figsize=size, layout="constrained", squeeze=False)
    for unused in axes.flat[len(shown) :]:
        unused.remove()
    for axis, (title, unit, names) in zip(axes.flat, shown, strict=False):
        for name in names:
            points = [(int(row["step"]), float(row[name])) for row in rows if row.get(name)]
            label = scores.get(name, name.replace("_", " "))
            axis.plot(*zip(*points, strict=True), marker=".", label=label, **_emphasis(label) if name in scores else {})
        axis.set(xlabel=f"step ({batch_size} rows each)", ylabel=unit, title=title)
        axis.set_xlim(0)
        if title != "validation":
            axis.set_ylim(0)
        axis.grid(alpha=0.3)
        if rows:
            axis.legend(fontsize=8, ncols=2 if len(names) > 4 else 1, loc="upper center", bbox_to_anchor=(0.5, -0.2))
    save(figure, picture)


def _emphasis(label: str) -> dict[str, Any]:
    """The style of a validation score: bold for a mean, dashed for NanoBEIR's, which can equal the other."""
    if "mean" not in label:
        return {"alpha": 0.5}
    return {"color": OURS, "linewidth": 2.5, "zorder": 3, "linestyle": "-" if label.startswith("mean") else "--"}
