"""The picture of a training run: loss, sparsity and validation scores over the steps."""

import csv
from pathlib import Path

from matplotlib import pyplot as plt

from stages.runtime.pictures import OURS, save


def draw_training_curve(curve: Path, picture: Path) -> None:
    """The terms of the loss over the steps, the contrastive one apart from the rest, which are far smaller; then how sparse it became.

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
    sparsity = [name for name in columns if name.endswith("_active_dims") or name == "dead_latents"]
    panels = [(large, "contrastive loss"), (small, "terms beside the contrastive one")]
    panels += [(sparsity, "dead latents, share" if "dead_latents" in sparsity else "active dimensions")] if sparsity else []
    figure, axes = plt.subplots(1, len(panels) + bool(scores), figsize=(5 * (len(panels) + bool(scores)), 4), layout="constrained")
    for axis, (names, title) in zip(axes, panels, strict=False):
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
    save(figure, picture)
