"""Charts of the page: matplotlib's SVG, whose colours and font are those of the page, so that it follows its light and dark scheme.

A figure is drawn in placeholder colours, which become the page's CSS variables. Ids get a prefix, because one page has several figures.
The width is that of a telephone: on a larger screen, charts stand next to one another instead of growing.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from io import StringIO
from typing import Any

from markupsafe import Markup
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

NAMES = ("ink", "muted", "grid", *(f"series-{number}" for number in range(1, 9)))
COLOURS = {name: f"#0000{number:02x}" for number, name in enumerate(NAMES, start=1)}
"""CSS variable of the page → the colour that stands for it in a figure."""
WIDTH = 4.6  # inches: 331 CSS pixels at 72 to the inch, where 10 points are 10 pixels
MARKERS = "os^Dv*PX"
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "report",  # equal figures have equal bytes
    "text.parse_math": False,  # a $ in a name is a $
    "font.size": 11,
    "text.color": COLOURS["ink"],
    "axes.edgecolor": COLOURS["muted"],
    "axes.labelcolor": COLOURS["muted"],
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": COLOURS["muted"],
    "ytick.color": COLOURS["muted"],
    "grid.color": COLOURS["grid"],
    "legend.frameon": False,
    "legend.fontsize": 10,
    "path.simplify_threshold": 0.5,
}


@dataclass(frozen=True)
class Series:
    """Points (x, y) of one name in a chart.

    Attributes:
        colour: number of the page's series colour and of the marker, from 1.
        line: whether the points are joined.
        labels: a text beside each point.
    """

    name: str
    points: Sequence[tuple[float, float]]
    colour: int = 1
    line: bool = True
    labels: Sequence[str] = ()


def dots(
    name: str,
    title: str,
    rows: Mapping[str, Mapping[str, float]],
    intervals: Mapping[str, tuple[float, float]],
    colours: Mapping[str, int],
) -> Markup:
    """A dot plot from 0 to 1: a row for each key of ``rows``, a dot for each system of it.

    Args:
        intervals: row → low and high end of the interval around its first system's value.
        colours: number of each system's colour and marker, in the order of the legend.
    """
    with rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 0.75 + 0.2 * -(-len(colours) // 3) + 0.3 * len(rows)), layout="constrained")
        axis = figure.subplots()
        for place, row in enumerate(rows):
            if row in intervals:
                axis.plot(intervals[row], (place, place), color=_series(1), linewidth=2, alpha=0.5, solid_capstyle="round")
        for system, number in colours.items():
            points = [(values[system], place) for place, values in enumerate(rows.values()) if system in values]
            axis.plot(*zip(*points, strict=True), **_marker(number, 6), linestyle="none", label=system)
        axis.set(yticks=range(len(rows)), yticklabels=rows, xlim=(0, 1), ylim=(len(rows) - 0.5, -0.5), xlabel="nDCG@10")
        axis.tick_params(axis="y", length=0, labelcolor=COLOURS["ink"])
        axis.spines["left"].set_visible(False)
        axis.grid(axis="x", linewidth=0.8)
        axis.grid(axis="y", linewidth=0.8)
        axis.set_axisbelow(True)
        figure.legend(loc="outside upper left", ncols=3, handletextpad=0.1, columnspacing=1.0, borderpad=0)
        return _svg(figure, name, title)


def lines(
    name: str,
    title: str,
    series: Sequence[Series],
    labels: tuple[str, str],
    *,
    levels: Mapping[str, float] = {},
    zero_x: bool = False,
    zero_y: bool = False,
) -> Markup:
    """Series over one axis of numbers.

    Args:
        labels: of the x axis and of the y axis.
        levels: named horizontal lines.
        zero_x, zero_y: whether the axis starts at 0.
    """
    with rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 2.9 + (0.2 if len(series) > 1 else 0)), layout="constrained")
        axis = figure.subplots()
        labelled: set[str] = set()
        for each in series:
            style: dict[str, Any] = _marker(each.colour, 4 if each.line else 7)
            if len(each.points) > 40:
                style |= {"marker": None}
            label = "_" if each.name in labelled else each.name  # several lines of one name have one entry
            axis.plot(*zip(*each.points, strict=True), label=label, linestyle="-" if each.line else "none", linewidth=1.8, **style)
            labelled.add(each.name)
            for text, point in zip(each.labels, each.points, strict=False):
                axis.annotate(text, point, (5, 5), textcoords="offset points", fontsize=10)
        axis.margins(x=0.08, y=0.12)
        for text, level in levels.items():
            axis.axhline(level, color=COLOURS["muted"], linewidth=1.2, linestyle=(0, (4, 3)), zorder=1)
            axis.annotate(text, (1, level), (0, 3), xycoords=("axes fraction", "data"), textcoords="offset points", ha="right", fontsize=10)
        axis.set(xlabel=labels[0], ylabel=labels[1])
        if zero_x:
            axis.set_xlim(0, 1.06 * max(x for each in series for x, _ in each.points))
        if zero_y:
            axis.set_ylim(bottom=0)
        _few_ticks(axis)
        axis.grid(linewidth=0.8)
        axis.set_axisbelow(True)
        if len(labelled) > 1:
            figure.legend(loc="outside upper left", ncols=2, handletextpad=0.4, columnspacing=1.2, borderpad=0)
        return _svg(figure, name, title)


def _few_ticks(axis: Axes) -> None:
    for each in (axis.xaxis, axis.yaxis):
        each.set_major_locator(MaxNLocator(5))


def _marker(number: int, size: float) -> dict[str, Any]:
    return {"color": _series(number), "marker": MARKERS[number - 1], "markersize": size}


def _series(number: int) -> str:
    return COLOURS[f"series-{number}"]


def _svg(figure: Figure, name: str, title: str) -> Markup:
    """The figure as an SVG element that a screen reader calls by its title; its numbers stand in a table of the page."""
    layout = figure.get_layout_engine()
    if layout:
        layout.execute(figure)
        figure.set_layout_engine("none")  # savefig would draw twice
    figure.savefig(drawn := StringIO(), format="svg", transparent=True, metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    text = drawn.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->", "", text, flags=re.DOTALL)
    text = re.sub(r'(id="|href="#|url\(#)', rf"\g<1>{name}-", text)
    text = re.sub(r" font-family: [^;\"]*;", "", text)
    for variable, colour in COLOURS.items():
        text = text.replace(colour, f"var(--{variable})")
    box = re.findall('viewBox="([^"]*)"', text)[0]
    head = f'<svg class="chart" role="img" aria-label="{escape(title)}" viewBox="{box}">'
    return Markup(re.sub(r"<svg[^>]*>", lambda _: head, text, count=1))
