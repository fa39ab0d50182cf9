"""The content of metrics/evaluation.json, and what the terminal shows: the training rows of a run, the scores, warnings."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from statistics import fmean
from typing import TYPE_CHECKING, Any

import numpy as np

from stages.evaluate.examples import Example
from stages.evaluate.product_table import product_rows
from stages.evaluate.significance import LEGEND, MEAN, P_VALUE, mark, uncertainty
from stages.retrieval.scores import (
    BASE_NDCG,
    CORPUS_DIMS,
    DEAD,
    DENSE_NDCG,
    DOCUMENTS_CUT,
    MODEL,
    NANO_MEAN,
    NDCG,
    QUERY_DIMS,
    TOKENS_LOST,
    Run,
    metric_of,
    score_by_query,
)
from stages.retrieval.sets import RetrievalSet

if TYPE_CHECKING:  # torch takes seconds to load, and `nordic-sparse report` does without
    from stages.evaluate.curves import Curves
    from stages.retrieval.vectors import Encoded

BM25_NDCG, STEMMED_NDCG = "bm25_ndcg@10", "bm25_stemmed_ndcg@10"
FUSED = {
    f"hybrid_sparse_dense_{NDCG}": "model + dense",
    f"hybrid_bm25_dense_{NDCG}": "stemmed BM25 + dense",
    f"hybrid_sparse_bm25_{NDCG}": "model + stemmed BM25",
}
"""The hybrids' metrics, in words."""
UNTRAINED_NDCG = "untrained_ndcg@10"
"""The model's score before its first training step; not of MTEB tasks."""
IGNORED = "qrels_with_unknown_ids"
MANY_CUT = 0.1  # share of a set's documents
REASONS = {
    "removed_evaluation_overlap": "in an evaluation set",
    "removed_dev_overlap": "in dev rows",
    "removed_duplicate_of_earlier_set": "in an earlier set",
    "removed_repeats_itself": "repeat a text",
    "removed_without_scores": "without teacher scores",
    "tail_dropped": "too few for one more batch",
    "unused": "left over by mix.stopping or max_rows",
}
"""Why rows are not used: counts of metrics/mix.json, in words."""


@dataclass(frozen=True)
class SetResult:
    """The scores of a model and of its baselines on one set.

    Attributes:
        nano: whether the set is in NanoBEIR's form.
        metrics: of the model, and nDCG@10 of the systems other than plain BM25.
        bm25_ndcg: of plain BM25.
        queries, documents: how many the set has.
        examples: queries that the picture of explanations may show.
        ignored: rows of its qrels that were ignored because they name unknown ids.
        retrieval_set: the set, if its runs are known.
        runs: of 100 documents a query, by system (`stages.evaluate.baselines`).
        encoded: the model's vectors, if they are known.
        curves: nDCG@10 under pruning, if its vectors are ours.
    """

    name: str
    nano: bool
    metrics: Mapping[str, float]
    bm25_ndcg: float
    queries: int = 0
    documents: int = 0
    examples: Sequence[Example] = ()
    ignored: int = 0
    retrieval_set: RetrievalSet | None = field(default=None, repr=False)
    runs: Mapping[str, Run] = field(default_factory=dict, repr=False)
    encoded: "Encoded | None" = field(default=None, repr=False)
    curves: "Curves | None" = None

    @property
    def as_zero(self) -> int:
        """How many queries without a relevant document count as 0 in the means, as in mteb."""
        return max(0, self.queries - len(self.retrieval_set.queries)) if self.retrieval_set else 0

    @cached_property
    def by_query(self) -> dict[str, np.ndarray]:
        """System → nDCG@10 of each query, in the set's order; then those that count as 0."""
        qrels = self.retrieval_set.qrels if self.retrieval_set else {}
        rows = {system: [each[NDCG] for each in score_by_query(run, qrels).values()] for system, run in self.runs.items()}
        return {system: np.array(row + [0.0] * self.as_zero) for system, row in rows.items()}


def summary(results: Sequence[SetResult]) -> dict[str, Any]:
    """The content of metrics/evaluation.json: set name → metrics, in the order given; then ``mean``.

    Each set also has ``bm25_ndcg@10`` and, if there are any, the number of ignored rows of its qrels; a set whose runs are known, and
    ``mean``, have `uncertainty` too. ``mean`` is the mean over sets of every metric that all of them have. If there are sets in
    NanoBEIR's form, ``NanoBEIR_mean_dot_ndcg@10`` is their mean nDCG@10. Values keep full precision: dvc shows five digits anyway, and
    two runs of one commit give the same bytes.
    """
    rows = [{**result.metrics, BM25_NDCG: result.bm25_ndcg} for result in results]
    ignored = [{IGNORED: result.ignored} if result.ignored else {} for result in results]
    tested = uncertainty({result.name: result.by_query for result in results})
    lines: dict[str, Any] = {
        result.name: row | tested.get(result.name, {}) | extra for result, row, extra in zip(results, rows, ignored, strict=True)
    }
    lines[MEAN] = {key: fmean(row[key] for row in rows) for key in rows[0] if all(key in row for row in rows)} | tested.get(MEAN, {})
    if nano := [result.metrics[NDCG] for result in results if result.nano]:
        lines[NANO_MEAN] = fmean(nano)
    return lines


def account(formatted: Mapping[str, Any], mixed: Mapping[str, Any]) -> str:
    """A table of the training sets (metrics/data.json, metrics/mix.json): rows read, rows used, why the others are not; then notes."""
    rows, notes = [["training set", "rows", "used per epoch", "not used"]], []
    for name, counts in mixed["sources"].items():
        train = formatted[name]["train"]
        left_out = train["dropped"] | {reason: counts.get(key, 0) for key, reason in REASONS.items()}
        remarks = ", ".join(f"{number:,} {reason}" for reason, number in left_out.items() if number)
        rows.append([name, f"{train['read']:,}", f"{counts['used']:,}", remarks])
        notes += [f"{name}: {number:,} {note}" for note, number in train.get("notes", {}).items()]
    header, *lines = aligned(rows, "lrrl")
    return "\n".join([header, "-" * len(header), *lines, *notes])


def headline(evaluation: Mapping[str, Any]) -> str:
    """`summary`'s mean as one line."""
    mean, sets = evaluation[MEAN], len(_sets(evaluation))
    name, bm25 = best_bm25(mean)
    score = f"nDCG@10 {mean[NDCG]:.3f} ({name}: {bm25:.3f}) on {sets} set{'s' if sets > 1 else ''}"
    return f"{score}, query dims {mean[QUERY_DIMS]:.1f}, document dims {mean[CORPUS_DIMS]:.1f}"


def few(evaluation: Mapping[str, Any]) -> dict[str, float]:
    """`summary`'s mean as the few numbers that `dvc exp show` has a column for; ``bm25`` is the better one."""
    mean = evaluation[MEAN]
    return {NDCG: mean[NDCG], "bm25": best_bm25(mean)[1], "query_dims": mean[QUERY_DIMS], "corpus_dims": mean[CORPUS_DIMS]}


def best_bm25(metrics: Mapping[str, float]) -> tuple[str, float]:
    """The better of the two BM25s by nDCG@10, with its score; the plain one if they are equal."""
    plain = metrics[BM25_NDCG]
    return max([("BM25", plain), ("stemmed BM25", metrics.get(STEMMED_NDCG, plain))], key=lambda system: system[1])


def by_active_dims(metrics: Mapping[str, float], system: str = MODEL) -> dict[int, float]:
    """nDCG@10 of a csr model, or of its control, by number of active dimensions; empty for another model."""
    form = re.compile(rf"{metric_of(system)}_at_(\d+)_dims")
    return {int(match[1]): value for key, value in metrics.items() if (match := form.fullmatch(key))}


def table(evaluation: Mapping[str, Any]) -> str:
    """`summary`'s value as a table with the mean last; below it the hybrids, for csr the comparison with the dense base, and warnings.

    The difference is to the better of the two BM25s.
    """
    mean, legend = evaluation[MEAN], [LEGEND] if any(P_VALUE in row for row in _sets(evaluation).values()) else []
    notes = [*legend, *warnings(evaluation)]
    titles = {NDCG: "nDCG@10", BM25_NDCG: "BM25", STEMMED_NDCG: "stemmed", "difference": "difference", DENSE_NDCG: "dense"}
    titles = {key: title for key, title in titles.items() if key in mean or key == "difference"}
    titles |= {QUERY_DIMS: "query dims", CORPUS_DIMS: "document dims"}
    rows = [["set", *titles.values()], *(_row(name, row, titles) for name, row in (_sets(evaluation) | {MEAN: mean}).items())]
    first, *lines, last = aligned(rows, "l" + "r" * len(titles))
    rule = "-" * len(first)
    products = product_rows(_sets(evaluation))
    graded = ["", *aligned(products, "ll" + "r" * (len(products[0]) - 2))] if products else []
    return "\n".join([first, rule, *lines, rule, last, *_fused(mean), *_sparsifying(mean), *graded, *([""] if notes else []), *notes])


def warnings(evaluation: Mapping[str, Any]) -> list[str]:
    """A line for each fault: training made the model worse on some sets, many documents of a set are cut, it is below
    the better of the two BM25s."""
    mean, sets, lines = evaluation[MEAN], _sets(evaluation), []
    if worse := [name for name, row in sets.items() if row[NDCG] < row.get(UNTRAINED_NDCG, 0.0)]:
        before, now = (fmean(sets[name][key] for name in worse) for key in (UNTRAINED_NDCG, NDCG))
        lines.append(
            f"warning: training made the model worse on {len(worse)} of {len(sets)} sets ({', '.join(worse)}): nDCG@10 {before:.4f} before "
            f"its first step, {now:.4f} after training; lower training.learning_rate or the weights under loss"
        )
    lines += [
        f"warning: {name}: {row[DOCUMENTS_CUT]:.0%} of the documents are longer than model.max_seq_length and cut, which loses "
        f"{row[TOKENS_LOST]:.0%} of all tokens; set model.long_documents to max_score"
        for name, row in sets.items()
        if row.get(DOCUMENTS_CUT, 0.0) > MANY_CUT
    ]
    if below := [name for name, row in sets.items() if row[NDCG] < best_bm25(row)[1]]:
        system, bm25 = best_bm25(mean)
        average = f": nDCG@10 {mean[NDCG]:.4f} against {bm25:.4f} ({system}) on average, and" if mean[NDCG] < bm25 else ""
        lines.append(f"warning: the model is below BM25{average} on {len(below)} of {len(sets)} sets ({', '.join(below)})")
    return lines


def aligned(rows: Sequence[Sequence[str]], sides: str) -> list[str]:
    """Rows of cells as lines; a column is aligned (l)eft or (r)ight.

    >>> aligned([["set", "rows"], ["nli", "7"]], "lr")
    ['set  rows', 'nli     7']
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    just = {"l": str.ljust, "r": str.rjust}
    return ["  ".join(map(lambda cell, width, side: just[side](cell, width), row, widths, sides)).rstrip() for row in rows]


def _sets(evaluation: Mapping[str, Any]) -> dict[str, Mapping[str, float]]:
    return {name: row for name, row in evaluation.items() if isinstance(row, Mapping) and name != MEAN}


def _row(name: str, metrics: Mapping[str, float], keys: Iterable[str]) -> list[str]:
    forms = {QUERY_DIMS: ".1f", CORPUS_DIMS: ".1f", "difference": "+.4f"}
    values = {**metrics, "difference": metrics[NDCG] - best_bm25(metrics)[1]}
    cells = {key: f"{values[key]:{forms.get(key, '.4f')}}" if key in values else "–" for key in keys}
    cells["difference"] += mark(values["difference"], metrics.get(P_VALUE))
    return [name, *cells.values()]


def _fused(mean: Mapping[str, float]) -> list[str]:
    parts = [f"{name} {mean[key]:.4f}" for key, name in FUSED.items() if key in mean]
    return ["", f"fused by reciprocal rank: {', '.join(parts)}"] if parts else []


def _sparsifying(mean: Mapping[str, float]) -> list[str]:
    """For csr: the share of the dense base's mean nDCG@10 that it and the control keep at each number of active dimensions."""
    dense = mean.get(BASE_NDCG, mean.get(DENSE_NDCG))
    if not dense or DEAD not in mean:
        return []
    control, parts = by_active_dims(mean, "control"), []
    for dims, value in by_active_dims(mean).items():
        untrained = f" (control {control[dims] / dense:.1%})" if dims in control else ""
        parts.append(f"{value / dense:.1%}{untrained} at {dims} dims")
    return ["", f"dense base: {dense:.4f}; kept of it: {', '.join(parts)}; dead latents: {mean[DEAD]:.1%}"]
