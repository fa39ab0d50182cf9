"""The pictures of an evaluation: scores beside BM25, and what query and document share."""

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba

from stages.evaluate.summary import BM25_NDCG
from stages.evaluate.terms import Explanation, Term
from stages.retrieval.scores import NDCG
from stages.runtime.pictures import BASELINE, OURS, save

EXPANSION, UNMATCHED, MUTED = "#d9730d", 0.3, "#5f6b76"  # the second is an opacity
TERM_ROWS, GUTTER, EDGE = 12, 0.4, 2.0  # rows of a panel; half the width of its middle and its right end, in lengths of the longest bar


def draw_evaluation(evaluation: Mapping[str, Any], picture: Path) -> None:
    """nDCG@10 of the model next to BM25's, a pair of bars for each evaluation set, the mean last."""
    rows = {name: row for name, row in evaluation.items() if isinstance(row, Mapping)}
    figure, axis = plt.subplots(figsize=(8, 1.2 + 0.6 * len(rows)), layout="constrained")
    for offset, key, label, colour in ((-0.2, NDCG, "model", OURS), (0.2, BM25_NDCG, "BM25", BASELINE)):
        places = [place + offset for place in range(len(rows))]
        bars = axis.barh(places, [row[key] for row in rows.values()], height=0.38, color=colour, label=label)
        axis.bar_label(bars, fmt="%.3f", padding=3, fontsize=9)
    axis.set(yticks=range(len(rows)), yticklabels=list(rows), xlim=(0, 1.1), xlabel="nDCG@10")
    axis.invert_yaxis()
    axis.legend(frameon=False, ncols=2, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    axis.spines[["top", "right"]].set_visible(False)
    save(figure, picture)


def draw_explanations(explanations: Sequence[Explanation], picture: Path) -> None:
    """Two columns of panels, each a query against a document it should find: shared terms first, then the strongest of either side."""
    rows = max(1, -(-len(explanations) // 2))
    with plt.rc_context({"text.parse_math": False}):  # a $ in a text is a $
        figure = plt.figure(figsize=(15, 0.6 + 4.8 * rows))
        figure.set_layout_engine("constrained", w_pad=0.25, h_pad=0.2)
        panels = list(figure.subplots(rows, 2, squeeze=False).flat)
        for axis in panels:
            axis.set_axis_off()
        for axis, explanation in zip(panels, explanations, strict=False):
            _draw_explanation(axis, explanation)
        if not explanations:
            figure.text(0.5, 0.4, "no query has a relevant document with a text", ha="center", color=MUTED)
        latent = any(explanation.query.latent for explanation in explanations)
        kinds = {"latent (beside it the word it hangs on)": OURS} if latent else {"in the text": OURS, "expansion": EXPANSION}
        sides = {"shared": 1.0, "on one side only": UNMATCHED}
        shades = {f"{kind}, {side}": to_rgba(kinds[kind], opacity) for kind in kinds for side, opacity in sides.items()}
        handles = [plt.Rectangle((0, 0), 1, 1, color=colour, label=label) for label, colour in shades.items()]
        figure.legend(handles=handles, frameon=False, ncols=4, fontsize=11, loc="outside upper center")
        save(figure, picture)


def _draw_explanation(axis: Axes, explanation: Explanation) -> None:
    query = {term.dimension: term for term in explanation.query.terms}
    document = {term.dimension: term for term in explanation.document.terms}
    shares = {match.query.dimension: match.share for match in explanation.matches}
    of_query = [dimension for dimension in query if dimension not in shares]
    of_document = [dimension for dimension in document if dimension not in shares]
    # the shared may fill the panel but for two rows a side
    shown = [*list(shares)[: TERM_ROWS - min(2, len(of_query)) - min(2, len(of_document))]]
    shown += of_query[: TERM_ROWS - len(shown) - min(2, len(of_document))]
    shown += of_document[: TERM_ROWS - len(shown)]
    for side, terms, align in ((-1, query, "right"), (1, document, "left")):
        longest = max((term.weight for term in terms.values()), default=1.0)
        for row, term in ((row, terms[dimension]) for row, dimension in enumerate(shown) if dimension in terms):
            length = (0.65 if term.words else 1.0) * max(0.0, term.weight) / longest
            axis.barh(row, side * length, left=side * GUTTER, height=0.72, color=_colour(term, term.dimension in shares))
            note = term.words[0] if term.words else f"{term.weight:.2f}"
            axis.text(side * (GUTTER + length + 0.03), row, note, ha=align, va="center", fontsize=8.5, color=MUTED)
    for row, dimension in enumerate(shown):
        term, share = query.get(dimension) or document[dimension], shares.get(dimension)
        name = textwrap.shorten(term.name, 18, placeholder="…") if " " in term.name else term.name
        axis.text(0, row, name, ha="center", va="center", fontsize=10 if len(name) < 15 else 8.5, color=MUTED if share is None else "black")
        if share is not None:
            axis.text(EDGE, row, f"{share:.0%}" if share >= 0.005 else "<1%", ha="right", va="center", fontsize=10, weight="bold")
    for place, head, align in ((-GUTTER, "query", "right"), (GUTTER, "document", "left"), (EDGE, "share of the score", "right")):
        axis.text(place, -1, head, ha=align, va="center", fontsize=9, color=MUTED, style="italic")
    axis.set(xlim=(-1.65, EDGE), ylim=(TERM_ROWS - 0.4, -1.5))
    _entitle(axis, explanation)


def _entitle(axis: Axes, explanation: Explanation) -> None:
    """Set, rank and score; the query; the document's first two lines: above the panel, from the top."""
    example = explanation.example
    missed = f" · not among the {example.retrieved} best" if example.retrieved else ""
    place = missed if example.rank is None else f" · found at rank {example.rank}"
    score = sum(match.product for match in explanation.matches)
    lines = (
        (1.225, f"{example.set_name}{place} · score {score:.2f}", {"fontsize": 9, "color": MUTED}),
        (1.17, textwrap.shorten(example.query, 80, placeholder=" …"), {"fontsize": 12.5, "weight": "bold"}),
        (1.095, textwrap.fill(example.document, 95, max_lines=2, placeholder=" …"), {"fontsize": 9.5, "linespacing": 1.3}),
    )
    for height, text, style in lines:
        axis.text(0, height, text, transform=axis.transAxes, va="top", **style)


def _colour(term: Term, shared: bool) -> tuple[float, ...]:
    return to_rgba(EXPANSION if term.expansion else OURS, 1.0 if shared else UNMATCHED)
