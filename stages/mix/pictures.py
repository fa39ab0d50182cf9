"""The picture of the training data: what became of the rows of each set."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib import pyplot as plt

from stages.runtime.pictures import OURS, save


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
    save(figure, picture)
