"""The picture of the training data: what became of the rows of each set."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib import pyplot as plt
from matplotlib.patches import Patch

from stages.runtime.pictures import LIGHT, MUTED, OURS, WIDTH, save

USED, UNUSED, OTHER = "used in an epoch", "kept, not used", "other reasons"
NAMED = 5  # reasons with a colour of their own, the most frequent ones


def draw_data(formatted: Mapping[str, Any], mixed: Mapping[str, Any], picture: Path) -> None:
    """Every set's training rows (metrics/data.json, metrics/mix.json): used in an epoch, kept but not used, dropped and why."""
    dropped = Counter[str]()
    for report in formatted.values():
        dropped.update(report["train"]["dropped"])
    named = [reason for reason, _ in dropped.most_common(NAMED)]
    reasons = [*named, *([OTHER] if len(dropped) > NAMED else [])]
    oranges = [matplotlib.colormaps["Oranges"](0.85 - 0.13 * place) for place in range(len(reasons))]
    colours: dict[str, Any] = {USED: OURS, UNUSED: LIGHT, **dict(zip(reasons, oranges, strict=True))}
    height = 1.1 + 0.2 * -(-len(colours) // 2) + 0.36 * len(formatted)
    figure, axis = plt.subplots(figsize=(WIDTH, height), layout="constrained")
    for place, (name, report) in enumerate(formatted.items()):
        train, used = report["train"], mixed[name]["used"]
        parts = Counter({USED: used, UNUSED: train["kept"] - used})
        for reason, rows in train["dropped"].items():
            parts[reason if reason in named else OTHER] += rows
        left = 0.0
        for part, colour in colours.items():
            share = 100 * parts[part] / max(1, train["read"])
            axis.barh(place, share, left=left, color=colour, height=0.65)
            left += share
        axis.text(102, place, f"{used:,} of {train['read']:,}", va="center", fontsize=9)
    axis.annotate("rows used of rows read", (102, -0.5), (0, 3), textcoords="offset points", fontsize=9, color=MUTED, annotation_clip=False)
    axis.set(yticks=range(len(formatted)), yticklabels=list(formatted), xlim=(0, 100), ylim=(len(formatted) - 0.5, -0.5))
    axis.set_xlabel(f"share of the rows read, % (n = {sum(report['train']['read'] for report in formatted.values()):,})")
    axis.tick_params(axis="y", length=0, labelcolor="black")
    handles = [Patch(facecolor=colour, label=part if part in (USED, UNUSED) else f"dropped: {part}") for part, colour in colours.items()]
    figure.legend(handles=handles, ncols=2, fontsize=9, loc="outside upper left")
    save(figure, picture)
