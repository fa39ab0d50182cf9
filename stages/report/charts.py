"""The charts of the page and the numbers that stand in tables beside them."""

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from markupsafe import Markup

from stages.report.runs import Run
from stages.report.scores import MEAN, NDCG, SYSTEMS, Row
from stages.report.svg import Series, dots, lines

COLOURS = {system: number for number, system in enumerate(SYSTEMS, start=1)}
CURVES = {
    "documents_top_k": ("Document terms kept", "N largest weights", "dimensions of a document"),
    "documents_mass": ("Document terms kept", "share of the weight", "dimensions of a document"),
    "queries_top_k": ("Query terms kept", "N largest weights", "dimensions of a query"),
    "queries_mass": ("Query terms kept", "share of the weight", "dimensions of a query"),
}
"""Curve of metrics/curves.json → its chart, what it keeps, and the label of its x axis."""
BASE_CSR = re.compile(rf"{NDCG}_at_(\d+)_dims")


@dataclass(frozen=True)
class Pruned:
    """One line of the table of pruning: a setting, and the mean over sets of dimensions and nDCG@10."""

    keeps: str
    setting: float
    dims: float
    ndcg: float
    share: float
    """Of the nDCG@10 without pruning, as far as the curve shows it: its last point has the most dimensions."""


def scores_chart(name: str, title: str, rows: Sequence[Row]) -> Markup:
    """nDCG@10 of every system on every set or slice, with the model's interval."""
    named = {row.name: {SYSTEMS[system]: value for system, value in row.systems.items()} for row in rows}
    present = {SYSTEMS[system]: number for system, number in COLOURS.items() if any(system in row.systems for row in rows)}
    intervals = {row.name: row.interval for row in rows if row.interval}
    return dots(name, title, named, intervals, present)


def training_charts(curve: Path) -> list[tuple[str, Markup]]:
    """The training run's loss, its other terms, sparsity and, if checkpoints were scored, validation; none for an empty file."""
    with curve.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    columns = list(rows[0]) if rows else []
    terms = [name for name in columns if name.endswith("loss") or "_loss_" in name]
    main = "base_loss" if "base_loss" in terms else "loss"
    panels = [
        ("Contrastive loss" if main == "base_loss" else "Loss", "mean per row", [main]),
        ("Other loss terms", "weighted mean", [name for name in terms if name not in (main, "loss")]),
        ("Active dimensions", "running mean per text", ["query_active_dims", "document_active_dims"]),
        ("Dead latents", "share of all latents", ["dead_latents"]),
        ("Validation", "nDCG@10", [name for name in columns if name.endswith("ndcg@10")]),
    ]
    charts: list[tuple[str, Markup]] = []
    for title, unit, names in panels:
        points = {name: [(float(row["step"]), float(row[name])) for row in rows if row.get(name)] for name in names if name in columns}
        series = [Series(name.replace("_", " "), some, 1 + number % 7) for number, (name, some) in enumerate(points.items()) if some]
        if series:
            place = f"training{len(charts)}"
            drawn = lines(place, f"{title} over the training steps", series, ("step", unit), zero_y=title != "Validation")
            charts.append((title, drawn))
    return charts


def tradeoff_chart(mean: Row, runs: Sequence[Run]) -> Markup | None:
    """nDCG@10 against the mean active dimensions of a document: this run, csr's other numbers of dimensions, recorded runs, BM25."""
    dims = mean.metrics.get("corpus_active_dims")
    if dims is None:
        return None
    others = [run for run in runs if (run.ndcg, run.dims) != (mean.systems["model"], dims)]
    series = []
    if others:
        names = [run.name if run.experiment else "" for run in others] if len(others) <= 8 else []
        series.append(Series("recorded runs", [(run.dims, run.ndcg) for run in others], 2, line=False, labels=names))
    if cut := sorted((int(match[1]), value) for key, value in mean.metrics.items() if (match := BASE_CSR.fullmatch(key))):
        series.append(Series("this model, other numbers of dimensions", cut, 3))
    series.append(Series("this run", [(dims, mean.systems["model"])], 1, line=False))
    levels = {SYSTEMS[system]: value for system, value in mean.systems.items() if system in ("bm25", "bm25_stemmed", "dense")}
    labels = "active dimensions of a document, mean", "nDCG@10"
    return lines("tradeoff", "nDCG@10 against document dimensions", series, labels, levels=levels, zero_x=True)


def pruning(curves: Mapping[str, Any]) -> list[tuple[str, Markup, list[Pruned]]]:
    """For documents and for queries: the chart's title, the chart, and its numbers, as means over the sets.

    Args:
        curves: metrics/curves.json: set → curve → points.
    """
    sets = [values for name, values in curves.items() if name != MEAN and isinstance(values, Mapping)]
    charts: dict[str, tuple[str, list[Series], list[Pruned]]] = {}
    for curve, (title, keeps, axis) in CURVES.items():
        points = mean_points([values[curve]["points"] for values in sets if values.get(curve, {}).get("points")])
        if not points:
            continue
        full = max(points, key=lambda point: point["dims"])[NDCG]
        _, series, table = charts.setdefault(title, (axis, [], []))
        series.append(Series(keeps, [(point["dims"], point[NDCG]) for point in points], 1 + len(series)))
        table += [Pruned(keeps, each["setting"], each["dims"], each[NDCG], each[NDCG] / full if full else 0.0) for each in points]
    return [
        (title, lines(f"pruning{number}", f"nDCG@10 by {title.lower()}", series, (f"{axis}, mean", "nDCG@10"), zero_x=True), table)
        for number, (title, (axis, series, table)) in enumerate(charts.items())
    ]


def mean_points(curves: Sequence[Sequence[Mapping[str, float]]]) -> list[dict[str, float]]:
    """The mean of several sets' curves at each setting that all of them have, fewest dimensions first."""
    by_setting = [{point["setting"]: point for point in points} for points in curves]
    shared = [setting for setting in by_setting[0] if all(setting in points for points in by_setting)] if by_setting else []
    means = [
        {"setting": setting, **{key: fmean(points[setting][key] for points in by_setting) for key in ("dims", NDCG)}} for setting in shared
    ]
    return sorted(means, key=lambda point: point["dims"])
