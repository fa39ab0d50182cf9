"""What came out of a sweep: sweeps/<name>/report.html, one file that needs no network, and the picture in it as report.png.

The configurations by their first objective; quality against query cost, with the Pareto front and BM25; how much of the differences each
parameter explains; whether the best few differ by more than luck: a paired randomisation test over the queries against the best one, with
Holm's correction, of scores averaged over seeds. What it cannot show: that the best of many, chosen on these very queries, keeps its score
on others. `maximize validation.…` chooses on other queries.
"""

import base64
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean, pvariance
from typing import Any

import numpy as np
from jinja2 import Environment

from stages.config.sweep import SweepFile
from stages.evaluate.query_tables import SCORE, read_tables
from stages.evaluate.significance import compare, holm
from stages.runtime.files import atomic_write
from stages.sweeps.plan import Group, Plan
from stages.sweeps.state import QUERIES, Sweep

NDCG, COST, BM25 = "mean.ndcg@10", "mean.query_postings_mean", "mean.bm25_stemmed_ndcg@10"
TESTED = 5
BINS = 3
"""Groups that the values of a range are put into for `importance`."""

PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{{ name }}</title>
<style>
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif } body { max-width: 70rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse; display: block; overflow-x: auto }
th, td { padding: .2rem .8rem; text-align: right; border-bottom: 1px solid #8885 }
th:first-child, td:first-child, .text * { text-align: left }
.numbers td { white-space: nowrap }
img { max-width: 100%; background: #fff }
code { background: #8882; padding: .1rem .3rem }
</style>
<h1>Sweep {{ name }}</h1>
<p>{{ counts }} Objectives: {{ objectives }}.</p>
{% macro table(rows, kind="numbers") %}<table class="{{ kind }}">
{% for row in rows %}{% set tag = "th" if loop.first else "td" %}
<tr>{% for cell in row %}
<{{ tag }}>{{ cell if tag == "td" else cell|e|replace("_", "_<wbr>"|safe)|replace(".", ".<wbr>"|safe) }}</{{ tag }}>
{% endfor %}</tr>
{% endfor %}</table>{% endmacro %}
{{ table(ranked) }}
{% if best %}
<p>To take the best: <code>nordic-sparse sweep sweeps/{{ name }}.yaml --apply-best</code>, or <code>dvc exp apply {{ best }}</code>; then
<code>dvc repro</code>.</p>
{% endif %}
<h2>Quality and query cost</h2><img alt="{{ alt }}" src="data:image/png;base64,{{ picture }}">
<p>The numbers are those of the experiments, the bars the deviation over seeds.</p>
{% if importance|length > 1 %}<h2>Which parameter mattered</h2>
<p>The share of the variance of {{ metric }} that a parameter explains by itself; what is missing to 100% is interplay and chance.
Where configurations failed, parameters vary together, and their shares overlap.</p>
{{ table(importance) }}{% endif %}
{% if tests|length > 1 %}<h2>Is the best one better, or lucky?</h2>
<p>nDCG@10 of the best against the next ones, paired over the queries: 95% interval by bootstrap, p by a randomisation test with Holm's
correction for {{ tests|length - 1 }} comparisons.</p>{{ table(tests) }}{% endif %}
{% if others|length > 1 %}<h2>Not done</h2>{{ table(others, "text") }}{% endif %}
</html>
"""


def write(sweep: Sweep, file: SweepFile, plan: Plan) -> Path:
    """Write report.png and report.html; returns the page's path."""
    ranked, (metric, _), keys = plan.ranked(), file.goals()[0], [*file.parameters]
    with atomic_write(sweep.folder / "report.png") as temporary:
        draw(ranked, file, temporary)
    environment = Environment(autoescape=True)
    goals = [name for name, _ in file.goals()]
    columns = [*goals, *(name for name in (NDCG, COST) if name not in goals and ranked and name in ranked[0].metrics())]
    rows = [
        [sweep.experiment(min(group.results)), *(spread(group, name) for name in columns), *(f"{group.parameters[key]}" for key in keys)]
        for group in ranked
    ]
    states = [result.state for result in plan.results.values()]
    ended = [(number, result) for number, result in sorted(plan.results.items()) if result.state != "done"]
    page = environment.from_string(PAGE).render(
        name=sweep.name,
        metric=metric,
        counts=f"{plan.total} trials: " + ", ".join(f"{states.count(each)} {each}" for each in dict.fromkeys(states)) + ".",
        objectives=", ".join(file.objectives),
        ranked=[["experiment", *columns, *keys], *rows],
        best=rows[0][0] if rows else None,
        alt=f"{metric} of each configuration",
        picture=base64.b64encode((sweep.folder / "report.png").read_bytes()).decode(),
        importance=[["parameter", "share"], *([key, f"{share:.0%}"] for key, share in importance(ranked, file))],
        tests=[["against", "difference", "95% interval", "p"], *tests(sweep, ranked)],
        others=[["trial", "state", "reason"], *([str(number), result.state, result.reason] for number, result in ended)],
    )
    with atomic_write(sweep.folder / "report.html") as temporary:
        temporary.write_text(page, encoding="utf-8")
    return sweep.folder / "report.html"


def spread(group: Group, metric: str) -> str:
    """A metric's mean and, with several seeds, its standard deviation."""
    if not group.values(metric):
        return "–"
    off = group.deviation(metric)
    return f"{group.mean(metric):.4g}" + ("" if off is None else f" ± {off:.2g}")


def importance(ranked: Sequence[Group], file: SweepFile) -> list[tuple[str, float]]:
    """By parameter, the share of the first objective's variance between its values (eta squared), the largest first.

    Only the main effects: of a range, between thirds of the values that were tried.
    """
    metric = file.goals()[0][0]
    scores = [group.mean(metric) for group in ranked]
    whole = pvariance(scores) if len(scores) > 2 else 0.0
    if not whole:
        return []
    found = []
    for key, space in file.parameters.items():
        values = [group.parameters[key] for group in ranked]
        order = {value: place for place, value in enumerate(sorted({*values}))} if space.values is None else {}
        levels: dict[Any, list[float]] = defaultdict(list)
        for value, score in zip(values, scores, strict=True):
            levels[repr(value) if space.values is not None else order[value] * BINS // len(order)].append(score)
        between = sum(len(level) * (fmean(level) - fmean(scores)) ** 2 for level in levels.values()) / len(scores)
        found.append((key, between / whole))
    return sorted(found, key=lambda each: -each[1])


def tests(sweep: Sweep, ranked: Sequence[Group]) -> list[list[str]]:
    """The best configuration against each of the next few."""
    scored = [(group, scores) for group in ranked[:TESTED] if (scores := query_scores(sweep, group))]
    found = []
    for group, scores in scored[1:]:
        best = scored[0][1]
        sets = [name for name in best if name in scores]
        common = [[key for key in best[name] if key in scores[name]] for name in sets]
        pairs = [(name, keys) for name, keys in zip(sets, common, strict=True) if keys]
        if pairs:
            first, second = ([np.array([side[name][key] for key in keys]) for name, keys in pairs] for side in (scores, best))
            found.append((group, compare(first, second)))
    corrected = holm([each.p for _, each in found])
    return [
        [sweep.experiment(min(group.results)), f"{each.difference:+.4f}", f"{each.low:+.4f} … {each.high:+.4f}", f"{p:.3f}"]
        for (group, each), p in zip(found, corrected, strict=True)
    ]


def query_scores(sweep: Sweep, group: Group) -> dict[str, dict[tuple[str, str], float]]:
    """nDCG@10 by set and query, averaged over the configuration's seeds."""
    sums: dict[str, dict[tuple[str, str], list[float]]] = defaultdict(lambda: defaultdict(list))
    for number in group.results:
        paths = sorted((sweep.place(number) / QUERIES).glob("*.parquet"))
        for name, table in read_tables((str(path), path.read_bytes()) for path in paths).items():
            for row in table.rows:
                sums[name][row["query_id"], row["query"]].append(row[SCORE])
    return {name: {key: fmean(values) for key, values in queries.items()} for name, queries in sums.items()}


def front(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Those that no other point beats in both: further left and higher.

    >>> front([(1, 0.5), (2, 0.4), (3, 0.7)])
    [(1, 0.5), (3, 0.7)]
    """
    kept: list[tuple[float, float]] = []
    for x, y in sorted(points, key=lambda point: (point[0], -point[1])):
        if not kept or y > kept[-1][1]:
            kept.append((x, y))
    return kept


def draw(ranked: Sequence[Group], file: SweepFile, picture: Path) -> None:
    """Quality against query cost: a point for each configuration, their Pareto front, BM25 as a line."""
    from stages.runtime.pictures import ACCENT, MUTED, OURS, WIDTH, plt, save

    goals: Mapping[str, bool] = dict(file.goals())
    quality = next(iter(goals))
    cost = next((name for name, up in goals.items() if not up and name != quality), COST)
    shown = [group for group in ranked if group.values(cost) and group.values(quality)]
    figure, axes = plt.subplots(figsize=(WIDTH, WIDTH * 0.55), layout="constrained")
    points = [(group.mean(cost), group.mean(quality)) for group in shown]
    up = [group.deviation(quality) or 0.0 for group in shown]
    across, high = [x for x, _ in points], [y for _, y in points]
    axes.errorbar(across, high, yerr=up or None, fmt="o", color=OURS, label="configurations")
    if points and goals[quality]:
        axes.plot(*zip(*front(points), strict=True), color=ACCENT, label="Pareto front")
    if quality == NDCG and shown and shown[0].values(BM25):
        axes.axhline(shown[0].mean(BM25), color=MUTED, linestyle="--", label="BM25, stemmed")
    for group, (x, y) in zip(shown, points, strict=True):
        axes.annotate(str(min(group.results)), (x, y), xytext=(4, 4), textcoords="offset points", fontsize=8)
    axes.set(xlabel=cost, ylabel=quality)
    axes.legend()
    save(figure, picture)
