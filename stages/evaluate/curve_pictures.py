"""The picture of what pruning loses: nDCG@10 against the dimensions that are left, for documents and for queries."""

from collections.abc import Mapping
from pathlib import Path

from matplotlib import pyplot as plt
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from stages.evaluate.curves import CURVES, KEPT, Curves, keeps
from stages.runtime.pictures import ACCENT, MUTED, OURS, WIDTH, save

METHODS = ((OURS, "o", "top-k: the k largest weights"), (ACCENT, "s", "mass: the largest weights up to a share of the sum"))
LOWEST = 60  # percent: below it, pruning is of no use


def draw_curves(found: Mapping[str, Curves], picture: Path) -> None:
    """Two panels, documents and queries: a thin line for each set and method, with a mark at the smallest setting that keeps 99%."""
    figure, panels = plt.subplots(1, 2, figsize=(WIDTH, 3.4), sharey=True, layout="constrained")
    for panel, side, names in zip(panels, ("documents", "queries"), (CURVES[:2], CURVES[2:]), strict=True):
        for of_set in found.values():
            for name, (colour, mark, _) in zip(names, METHODS, strict=True):
                points, whole = of_set[name], of_set[name][-1].ndcg
                if not whole:
                    continue
                panel.plot([p.dims for p in points], [100 * p.ndcg / whole for p in points], color=colour, linewidth=1, alpha=0.7)
                chosen = next(point for point in points if point.setting == keeps(points))
                panel.plot(chosen.dims, 100 * chosen.ndcg / whole, mark, color=colour, markersize=6, markeredgecolor="white")
        panel.axhline(100 * KEPT, color=MUTED, linewidth=0.8, linestyle=(0, (4, 3)))
        panel.set(title=f"pruned {side}", xlabel="dimensions left, mean", xlim=(0, None), ylim=(LOWEST, 104))
        panel.title.set(fontsize=10, fontweight="bold")
        panel.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        panel.grid(axis="y", color=MUTED, alpha=0.15)
    panels[0].set_ylabel("nDCG@10, % of unpruned")
    if not found:
        panels[0].text(0.5, 0.5, "no evaluation set", transform=panels[0].transAxes, ha="center", color=MUTED)
    handles = [Line2D([], [], color=colour, marker=mark, markeredgecolor="white", label=label) for colour, mark, label in METHODS]
    figure.legend(handles=handles, ncols=2, fontsize=9, loc="outside upper left")
    note = "one line for each set\nmark: smallest setting that keeps 99%"
    panels[1].text(0.98, 0.05, note, transform=panels[1].transAxes, ha="right", fontsize=8, color=MUTED)
    save(figure, picture)
