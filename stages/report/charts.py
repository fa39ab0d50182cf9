"""The charts of the page and the numbers that stand in tables beside them."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isclose
from pathlib import Path
from typing import Any

from markupsafe import Markup

from stages.evaluate.summary import by_active_dims
from stages.report.runs import Run
from stages.report.scores import SYSTEMS, Row
from stages.report.svg import Series, dots, lines
from stages.retrieval.scores import CORPUS_DIMS, MODEL, NDCG

COLOURS = {system: number for number, system in enumerate(SYSTEMS, start=1)}
CURVES = {
    "documents_top_k": ("Document terms", "N largest weights"),
    "documents_mass": ("Document terms", "share of the weight"),
    "queries_top_k": ("Query terms", "N largest weights"),
    "queries_mass": ("Query terms", "share of the weight"),
}
"""Curve of metrics/curves.json → its chart, and what its setting says to keep."""
KEEPS = "keeps_99"  # as in stages.evaluate.curves, which would import torch


@dataclass(frozen=True)
class Pruned:
    """A point of a curve: a setting, the mean dimensions that it leaves, nDCG@10 and its share of the unpruned score."""

    set_name: str
    keep: str
    setting: float
    dims: float
    ndcg: float
    share: float
    smallest: bool
    """Whether it is the smallest setting that keeps 99%."""


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
        series = [Series(name.replace("_", " "), some, 1 + number % 8) for number, (name, some) in enumerate(points.items()) if some]
        if series:
            place = f"training{len(charts)}"
            drawn = lines(place, f"{title} over the training steps", series, ("step", unit), zero_y=title != "Validation")
            charts.append((title, drawn))
    return charts


def tradeoff_chart(mean: Row, runs: Sequence[Run]) -> Markup | None:
    """nDCG@10 against the mean active dimensions of a document: this run, csr's other numbers of dimensions, recorded runs, BM25."""
    dims = mean.metrics.get(CORPUS_DIMS)
    if dims is None:
        return None
    others = [run for run in runs if not (isclose(run.ndcg, mean.systems[MODEL]) and isclose(run.dims, dims, rel_tol=1e-6))]
    series = []
    if others:
        names = [run.name if run.experiment else "" for run in others] if len(others) <= 8 else []
        series.append(Series("recorded runs", [(run.dims, run.ndcg) for run in others], 2, line=False, labels=names))
    if cut := sorted(by_active_dims(mean.metrics).items()):
        series.append(Series("this model, other numbers of dimensions", cut, 3))
    series.append(Series("this run", [(dims, mean.systems[MODEL])], 1, line=False))
    levels = {SYSTEMS[system]: value for system, value in mean.systems.items() if system in ("bm25", "bm25_stemmed", "dense")}
    labels = "active dimensions of a document, mean", "nDCG@10"
    return lines("tradeoff", "nDCG@10 against document dimensions", series, labels, levels=levels, zero_x=True)


def pruning(curves: Mapping[str, Any]) -> list[tuple[str, Markup, list[Pruned]]]:
    """For documents and for queries, if there are curves: title, chart and points.

    Args:
        curves: metrics/curves.json: set → curve → points, the last one unpruned.
    """
    found: dict[str, list[Pruned]] = {}
    for name, of_set in curves.items():
        for curve, (title, keep) in CURVES.items():
            points = of_set.get(curve, {}).get("points") or []
            whole, smallest = points[-1][NDCG] if points else 0.0, of_set.get(curve, {}).get(KEEPS)
            found.setdefault(title, []).extend(
                Pruned(name, keep, point["setting"], point["dims"], point[NDCG], point[NDCG] / whole, point["setting"] == smallest)
                for point in points
                if whole > 0
            )
    return [(title, _pruning_chart(number, title, points), points) for number, (title, points) in enumerate(found.items()) if points]


def _pruning_chart(number: int, title: str, points: Sequence[Pruned]) -> Markup:
    """One line for each set and way to prune."""
    keeps = list(dict.fromkeys(point.keep for point in points))
    curves: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for point in points:
        curves.setdefault((point.keep, point.set_name), []).append((point.dims, point.share))
    series = [Series(keep, some, 1 + keeps.index(keep)) for (keep, _), some in curves.items()]
    labels = "dimensions left, mean", "share of nDCG@10"
    return lines(f"pruning{number}", f"Loss in nDCG@10 by pruning: {title.lower()}", series, labels, levels={"99%": 0.99}, zero_x=True)
