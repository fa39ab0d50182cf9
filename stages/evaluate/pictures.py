"""The pictures of an evaluation: scores next to BM25, and the terms that a query and a document share."""

import textwrap
from collections.abc import Sequence
from pathlib import Path

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.patches import Patch

from stages.evaluate.examples import Example
from stages.evaluate.summary import BM25_NDCG, FUSED, MEAN, STEMMED_NDCG, SetResult, summary
from stages.evaluate.terms import Explanation, Term
from stages.retrieval.scores import BASE_NDCG, DEAD, DENSE_NDCG, NDCG
from stages.runtime.pictures import ACCENT, BASELINE, LIGHT, MUTED, OURS, WIDTH, save

SYSTEMS = [
    (NDCG, "model", OURS),
    (BASE_NDCG, "its dense base", LIGHT),
    (BM25_NDCG, "BM25", BASELINE),
    (STEMMED_NDCG, "stemmed BM25", "#98a3ad"),
    (DENSE_NDCG, "dense model", "#e3a567"),
    *((key, name, colour) for (key, name), colour in zip(FUSED.items(), ("#2f8f83", "#86bfb4", "#c2ddd6"), strict=True)),
]
ROWS, HEAD, GAP = 9, 6.2, 1.2  # heights in rows of bars: of a panel's bars, of the heading above them, between panels
MIDDLE, VALUE, EDGE = 0.62, 0.34, 2.4  # lengths in longest bars: half the column of terms, the room for a weight, the right end
ROW = 0.18  # inches
UNMATCHED = 0.3  # opacity


def draw_evaluation(results: Sequence[SetResult], picture: Path) -> None:
    """nDCG@10 of the model, its baselines and the hybrids: a group of bars for each set and, below a line, their mean."""
    scores = summary(results)
    names = {each.name: f"{each.name}\n{each.queries:,} queries, {each.documents:,} documents" for each in results}
    if len(results) > 1:
        names[MEAN] = f"mean\nn = {len(results)} sets"
    systems = [system for system in SYSTEMS if system[0] in scores[MEAN]]
    if DEAD in scores[MEAN] and BASE_NDCG not in scores[MEAN]:  # a csr model's dense base is the dense model
        systems = [(key, "its dense base" if key == DENSE_NDCG else label, colour) for key, label, colour in systems]
    height = 0.84 / len(systems)
    lines, row = -(-len(systems) // 4), 0.24 if len(systems) <= 4 else 0.19  # of the legend; inches of a bar
    figure, axis = plt.subplots(figsize=(WIDTH, 0.85 + 0.25 * lines + row * len(systems) * len(names)), layout="constrained")
    for number, (key, label, colour) in enumerate(systems):
        places = [place + height * (number - (len(systems) - 1) / 2) for place in range(len(names))]
        bars = axis.barh(places, [scores[name][key] for name in names], height=0.94 * height, color=colour, label=label)
        axis.bar_label(bars, fmt="%.3f", padding=3, fontsize=9 if row > 0.2 else 8)
    axis.set(yticks=range(len(names)), yticklabels=names.values(), xlim=(0, 1), ylim=(len(names) - 0.45, -0.55))
    axis.set_xlabel("nDCG@10, mean over the queries of a set (0 to 1, higher is better)")
    axis.tick_params(axis="y", length=0, labelsize=9, labelcolor="black")
    if MEAN in names:
        axis.axhline(len(names) - 1.5, color=MUTED, linewidth=0.8)
    figure.legend(ncols=min(4, len(systems)), loc="outside upper left")
    save(figure, picture)


def draw_explanations(explanations: Sequence[Explanation], picture: Path) -> None:
    """Two columns of panels, each a query and a document it should find: shared terms first, then the strongest of either side."""
    rows = max(1, -(-len(explanations) // 2))
    height = (2 + (HEAD + ROWS + GAP) * rows) * ROW
    edges = {"left": 0.01, "right": 0.99, "bottom": GAP * ROW / height, "top": 1 - 2 * ROW / height}
    with plt.rc_context({"text.parse_math": False}):  # a $ in a text is a $
        figure = plt.figure(figsize=(WIDTH, height))
        grid = {**edges, "wspace": 0.06, "hspace": GAP / (HEAD + ROWS)}
        panels = list(figure.subplots(rows, 2, squeeze=False, gridspec_kw=grid).flat)
        for axis in panels:
            axis.set_axis_off()
        for axis, explanation in zip(panels, explanations, strict=False):
            _draw_explanation(axis, explanation)
        if not explanations:
            figure.text(0.5, 0.4, "no query has a relevant document with a text", ha="center", color=MUTED)
        latent = any(explanation.query.latent for explanation in explanations)
        kinds = {"latent, with its word": OURS} if latent else {"in the text": OURS, "expansion": ACCENT}
        sides = {"shared": 1.0, "on one side only": UNMATCHED}
        shades = {f"{kind}, {side}": to_rgba(kinds[kind], opacity) for kind in kinds for side, opacity in sides.items()}
        handles = [Patch(facecolor=colour, label=label) for label, colour in shades.items()]
        figure.legend(handles=handles, ncols=4, fontsize=9, columnspacing=1.5, handlelength=1.5, loc="upper left")
        save(figure, picture)


def _draw_explanation(axis: Axes, explanation: Explanation) -> None:
    query = {term.dimension: term for term in explanation.query.terms}
    document = {term.dimension: term for term in explanation.document.terms}
    shares = {match.query.dimension: match.share for match in explanation.matches}
    of_query = [dimension for dimension in query if dimension not in shares]
    of_document = [dimension for dimension in document if dimension not in shares]
    # shared terms may fill the panel except for two rows for each side
    shown = [*list(shares)[: ROWS - min(2, len(of_query)) - min(2, len(of_document))]]
    shown += of_query[: ROWS - len(shown) - min(2, len(of_document))]
    shown += of_document[: ROWS - len(shown)]
    for side, terms, align in ((-1, query, "right"), (1, document, "left")):
        longest = max((term.weight for term in terms.values()), default=1.0)
        for row, term in ((row, terms[dimension]) for row, dimension in enumerate(shown) if dimension in terms):
            length = (0.5 if term.words else 1.0) * max(0.0, term.weight) / longest
            axis.barh(row, side * length, left=side * MIDDLE, height=0.76, color=_colour(term, term.dimension in shares))
            note = _cut(term.words[0], 11) if term.words else f"{term.weight:.2f}"
            axis.text(side * (MIDDLE + length + 0.04), row, note, ha=align, va="center", fontsize=8, color=MUTED)
    for row, dimension in enumerate(shown):
        term, share = query.get(dimension) or document[dimension], shares.get(dimension)
        size = 9 if len(term.name) < 14 else 7.5
        axis.text(0, row, _cut(term.name, 19), ha="center", va="center", fontsize=size, color=MUTED if share is None else "black")
        if share is not None:
            axis.text(EDGE, row, f"{share:.0%}" if share >= 0.005 else "<1%", ha="right", va="center", fontsize=9, weight="bold")
    score = sum(match.product for match in explanation.matches)
    for place, head, align in (
        (-MIDDLE, "weight in query", "right"),
        (0, f"{len(shares)} shared {'latents' if explanation.query.latent else 'terms'}", "center"),
        (MIDDLE, "in document", "left"),
        (EDGE, f"score {score:.2f}", "right"),
    ):
        axis.text(place, -1, head, ha=align, va="center", fontsize=8, color=MUTED)
    left = -MIDDLE - 1 - VALUE
    axis.set(xlim=(left, EDGE), ylim=(ROWS - 0.5, -HEAD))
    _entitle(axis, left, explanation.example)


def _entitle(axis: Axes, left: float, example: Example) -> None:
    """Above the bars: the set and the document's rank; two lines of the query; two of the document."""
    missed = f" · not in the top {example.retrieved}" if example.retrieved else ""
    place = missed if example.rank is None else f" · document at rank {example.rank}"
    for row, text, style in (
        (0, f"{_cut(example.set_name, 36)}{place}", {"fontsize": 8, "color": MUTED}),
        (0.9, textwrap.fill(example.query, 46, max_lines=2, placeholder=" …"), {"fontsize": 9.5, "weight": "bold"}),
        (2.8, textwrap.fill(example.document, 56, max_lines=2, placeholder=" …"), {"fontsize": 8.5}),
    ):
        axis.text(left, row - HEAD, text, va="top", linespacing=1.25, **style)


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}…"


def _colour(term: Term, shared: bool) -> tuple[float, ...]:
    return to_rgba(ACCENT if term.expansion else OURS, 1.0 if shared else UNMATCHED)
