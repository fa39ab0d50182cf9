"""What a sweep file may ask for that only params.yaml and the evaluation can answer: objectives, pruning."""

import re
from pathlib import Path

from stages.config.schema import Params
from stages.config.sweep import SweepFile
from stages.retrieval.scores import NANO_MEAN
from stages.runtime.errors import UserError

METRIC = re.compile(
    r"(\w+_)?ndcg@10(_low|_high|_at_\d+_dims)?|mrr@10|recall@100|(query|corpus)_active_dims|flops|dead_latents|p_value"
    r"|query_postings_(mean|p95)|index_bytes_(float32|uint8)|documents_cut|tokens_lost"
)
"""The metrics of a set in metrics/evaluation.json."""


def check_objectives(file: SweepFile, path: Path, params: Params) -> None:
    """Refuse objectives that no trial can have, and pruning without scores.

    Raises:
        UserError: one line for each.
    """
    wrong = []
    for metric, _ in file.goals():
        of, _, name = metric.rpartition(".")
        if of == "validation":
            if params.training.eval_steps is None:
                wrong.append(f"objectives: {metric} needs scores while training; set training.eval_steps")
        elif metric != NANO_MEAN and not (of and METRIC.fullmatch(name)):
            wrong.append(f"objectives: {metric} is not a metric; use one of metrics/evaluation.json, such as mean.ndcg@10 or mean.flops")
    if file.prune and params.training.eval_steps is None:
        wrong.append("prune: needs scores while training; set training.eval_steps in params.yaml or under fixed")
    if wrong:
        raise UserError("\n".join(f"{path}: {line}" for line in wrong))
