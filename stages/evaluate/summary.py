"""metrics/evaluation.json and the table on the terminal."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stages.evaluate.examples import Example
from stages.evaluate.warnings import warnings
from stages.retrieval.scores import CORPUS_DIMS, DEAD, DENSE_NDCG, NANO_MEAN, NDCG, QUERY_DIMS
from stages.runtime.errors import UserError

BM25_NDCG = "bm25_ndcg@10"
IGNORED = "qrels_with_unknown_ids"
MEAN = "mean"


@dataclass(frozen=True)
class SetResult:
    """One line of the summary: a set's name, whether it is in NanoBEIR's form, a model's metrics, BM25's nDCG@10; and queries to show.

    ``ignored``: rows of its qrels that were ignored because they name unknown ids.
    """

    name: str
    nano: bool
    metrics: Mapping[str, float]
    bm25_ndcg: float
    examples: Sequence[Example] = ()
    ignored: int = 0


def summary(results: Sequence[SetResult]) -> dict[str, Any]:
    """Set name → metrics with ``bm25_ndcg@10`` (and, if there are any, the ignored rows of its qrels), then ``mean``, in the order given.

    ``mean`` is the mean over sets of every metric that all of them have. Where sets in NanoBEIR's form are among them,
    their mean nDCG@10 stands at the top as ``NanoBEIR_mean_dot_ndcg@10``. Values keep full precision: dvc shows five
    digits anyway, and two runs of one commit give the same bytes. Raises `UserError` for two sets of one name.
    """
    if not results:
        raise UserError("evaluation: no evaluation set was run; enable at least one under evaluation in params.yaml")
    lines: dict[str, Any] = {}
    for result in results:
        if result.name in lines or result.name in (MEAN, NANO_MEAN):
            raise UserError(f"evaluation: the name {result.name!r} is taken; rename one of the evaluation sets")
        lines[result.name] = {**result.metrics, BM25_NDCG: result.bm25_ndcg}
    rows = list(lines.values())
    lines[MEAN] = {key: _mean([row[key] for row in rows]) for key in rows[0] if all(key in row for row in rows)}
    for result in results:
        lines[result.name] |= {IGNORED: result.ignored} if result.ignored else {}
    if nano := [result.metrics[NDCG] for result in results if result.nano]:
        lines[NANO_MEAN] = _mean(nano)
    return lines


def table(evaluation: Mapping[str, Any]) -> str:
    """An aligned text table of `summary`'s value, one line a set and the mean last, then warnings; no line break at the end."""
    header = ["set", "nDCG@10", "BM25 nDCG@10", "difference", "query dims", "document dims"]
    names = [name for name, row in evaluation.items() if isinstance(row, Mapping) and name != MEAN]
    rows = [header, *(_row(name, evaluation[name]) for name in [*names, MEAN])]
    widths = [max(len(row[column]) for row in rows) for column in range(len(header))]
    lines = [
        "  ".join([row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]) for row in rows
    ]
    rule = "-" * len(lines[0])
    return "\n".join(
        [lines[0], rule, *lines[1:-1], rule, lines[-1], *_sparsifying(evaluation[MEAN]), *warnings(evaluation, BM25_NDCG, MEAN)]
    )


def _sparsifying(mean: Mapping[str, float]) -> list[str]:
    """For a CSR model: the share of the dense base's mean nDCG@10 that is kept at each number of active dimensions."""
    dense = mean.get(DENSE_NDCG)
    if not dense:
        return []
    kept = [(re.fullmatch(rf"{NDCG}_at_(\d+)_dims", key), value) for key, value in mean.items()]
    parts = [f"{value / dense:.1%} at {match[1]} dims" for match, value in kept if match]
    return ["", f"Its dense base: {dense:.4f}. Kept of it: {', '.join(parts)}. Dead latents: {mean[DEAD]:.1%}."]


def _row(name: str, metrics: Mapping[str, float]) -> list[str]:
    dims = [f"{metrics[key]:.1f}" if key in metrics else "–" for key in (QUERY_DIMS, CORPUS_DIMS)]
    difference = metrics[NDCG] - metrics[BM25_NDCG]
    return [name, f"{metrics[NDCG]:.4f}", f"{metrics[BM25_NDCG]:.4f}", f"{difference:+.4f}", *dims]


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)
