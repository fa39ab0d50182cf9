"""The report of a run as one HTML page without scripts and without network, for people to read and to pass on.

It reads the files of a run and loads no model. A part whose file is missing becomes one line. The texts come from data sets, so the
template escapes everything (Jinja2's autoescape); what is not escaped, the charts, escapes its own texts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from ruamel.yaml import YAML

from stages.evaluate.product_table import product_rows
from stages.evaluate.significance import MEAN
from stages.evaluate.summary import warnings
from stages.report.charts import pruning, scores_chart, tradeoff_chart, training_charts
from stages.report.origins import evaluation_sets, flat, training_sets, versions
from stages.report.queries import read_queries
from stages.report.runs import recorded
from stages.report.scores import COSTS, OTHERS, SYSTEMS, row, rows, significance, verdict
from stages.runtime.files import read_output

LANGUAGES = {"nb": "Norwegian Bokmål", "nn": "Norwegian Nynorsk", "da": "Danish", "sv": "Swedish", "en": "English"}
ARCHITECTURES = {"splade": "SPLADE", "inference-free-splade": "Inference-free SPLADE", "csr": "CSR"}
SECTIONS = {
    "scores": "Scores",
    "queries": "Queries gained and lost",
    "slices": "Slices",
    "cost": "Size and cost",
    "training": "Training",
    "data": "Data",
    "settings": "Settings",
    "versions": "Versions",
}
"""Headings of the page, by id."""
RESOLVED = ("push", "download_eval", "download_mteb", "overrides", "train", "evaluate")


@dataclass(frozen=True)
class Files:
    """The files of a run. All but ``evaluation`` may be missing."""

    evaluation: Path
    summary: Path
    curves: Path
    slices: Path
    queries: Path
    data: Path
    mix: Path
    training: Path
    formatted: Path
    evaluation_sets: Path
    resolved: Path


def render(files: Files, *, settings: Mapping[str, Any], git: Mapping[str, str], now: datetime, pending: Sequence[str] = ()) -> str:
    """The page.

    Args:
        settings: resolved/train.yaml.
        git: the commit and whether it is dirty, as `stages.tracking.git.git_state` gives them.
        pending: stages that have changed since the scores were computed.
    """
    evaluation = read_output(files.evaluation)
    table = rows(evaluation)
    mean = table[-1]
    sets = [each for each in table if each.name != MEAN]
    counts, gained, lost = read_queries(files.queries, [each.name for each in sets])
    slices = {
        kind: [row(LANGUAGES.get(name, name), values) for name, values in some.items()]
        for kind, some in read_output(files.slices).items()
        if some
    }
    runs = recorded(files.summary, mean.systems[mean.baseline])
    resolved = {path.stem: _yaml(path) for path in (files.resolved / f"{name}.yaml" for name in RESOLVED)}
    shown = ["train", "evaluate"]
    return _template().render(
        title=ARCHITECTURES.get(settings["architecture"], settings["architecture"]),
        settings=settings,
        git=git,
        now=now,
        pending=pending,
        sections=SECTIONS,
        verdict=verdict(mean),
        significance=significance(sets),
        warnings=[line.removeprefix("warning: ") for line in warnings(evaluation)],
        rows=table,
        sets=sets,
        mean=mean,
        systems={key: name for key, name in SYSTEMS.items() if any(key in each.systems for each in table)},
        names=SYSTEMS,
        costs=_present(COSTS, table),
        others=_present(OTHERS, table),
        products=product_rows({each.name: each.metrics for each in sets}),
        scores=scores_chart("scores", "nDCG@10 of each system, by set", table),
        training=training_charts(files.training) if files.training.is_file() else [],
        tradeoff=tradeoff_chart(mean, runs),
        runs=runs,
        pruning=pruning(read_output(files.curves)),
        slices=[
            (kind, scores_chart(f"slices{number}", f"nDCG@10 by {kind}", some), some, _present(COSTS, some))
            for number, (kind, some) in enumerate(slices.items())
        ],
        counts=counts,
        gained=gained,
        lost=lost,
        languages=LANGUAGES,
        training_sets=training_sets(resolved["push"].get("datasets", {}), read_output(files.data), read_output(files.mix), files.formatted),
        evaluation_sets=evaluation_sets(resolved["download_eval"], resolved["download_mteb"], files.evaluation_sets),
        overrides=[(key, value) for key, value in flat(resolved["overrides"]) if key != "architecture"],
        resolved={name: (files.resolved / f"{name}.yaml").read_text(encoding="utf-8") for name in shown if resolved[name]},
        versions=versions("nordic-sparse"),
    )


def _present(columns: Mapping[str, Any], table: Sequence[Any]) -> dict[str, Any]:
    return {key: column for key, column in columns.items() if any(key in each.metrics for each in table)}


def _yaml(path: Path) -> dict[str, Any]:
    values = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8")) if path.is_file() else None
    return values if isinstance(values, dict) else {}


def _template() -> Any:
    loader = PackageLoader("stages.report", "template")
    environment = Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined)
    environment.filters["form"] = lambda value, form: format(value, form).replace("-", "−")
    environment.filters["p_value"] = lambda value: "–" if value is None else "< 0.001" if value < 0.001 else f"{value:.3f}"
    return environment.get_template("report.html.jinja")
