"""Score models/final on every evaluation set beside BM25: metrics/evaluation.json, pictures, and a table on the terminal."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from stages.config.params import load_resolved
from stages.config.settings import EvaluateSettings, TrainSettings
from stages.runtime.errors import run_stage
from stages.runtime.files import atomic_write, write_json

if TYPE_CHECKING:
    from sentence_transformers import SparseEncoder

    from stages.evaluate.terms import Explanation

Untrained = Callable[[str], "SparseEncoder"]
"""Device → model."""

MIXED, BASE, MADE = Path("data/mixed/train.parquet"), Path("models/base"), Path("models/made")
FINAL, FINGERPRINT = Path("models/final"), Path("models/fingerprint.txt")
SETS, MTEB = Path("data/eval"), Path("data/mteb")
DATA, MIX = Path("metrics/data.json"), Path("metrics/mix.json")
SUMMARY = Path("metrics/summary.json")
"""Of the metrics, the few that `dvc exp show` and `dvc metrics diff` compare."""
METRICS, PICTURE = Path("metrics/evaluation.json"), Path("metrics/evaluation.png")
EXPLANATIONS = Path("metrics/explain.png")

HEADLINE = {"ndcg@10": "ndcg@10", "bm25": "bm25_ndcg@10", "query_dims": "query_active_dims", "corpus_dims": "corpus_active_dims"}


def main() -> None:
    settings = load_resolved("evaluate", EvaluateSettings)
    evaluation, explanations = evaluate(settings, untrained_model)
    write_json(METRICS, evaluation)
    write_json(SUMMARY, {short: evaluation["mean"][name] for short, name in HEADLINE.items()})

    from stages.evaluate.pictures import draw_evaluation, draw_explanations
    from stages.evaluate.summary import account, table
    from stages.tracking.run import open_tracker

    with atomic_write(PICTURE) as temporary:
        draw_evaluation(evaluation, temporary)
    with atomic_write(EXPLANATIONS) as temporary:
        draw_explanations(explanations, temporary)
    used = account(*(json.loads(path.read_text(encoding="utf-8")) for path in (DATA, MIX)))
    print(f"\n{used}\n\n{table(evaluation)}\n", flush=True)
    with open_tracker(FINGERPRINT.read_text(encoding="utf-8").strip()) as tracker:
        tracker.metrics(evaluation)


def untrained_model(device: str) -> "SparseEncoder":
    """The model of resolved/train.yaml as it is before its first step, on ``device``."""
    from stages.encoders.building import build
    from stages.pretrained.norbert import prepare_base
    from stages.rows.parquet import texts

    settings = load_resolved("train", TrainSettings)
    with TemporaryDirectory() as folder:
        base = prepare_base(MADE if settings.model.base_model == "made" else BASE, Path(folder))
        return build(settings, base, partial(texts, MIXED), device)


def evaluate(settings: EvaluateSettings, untrained: "Untrained | None" = None) -> tuple[dict[str, Any], "Sequence[Explanation]"]:
    """The content of metrics/evaluation.json, and what the model sees in a few queries.

    Args:
        untrained: makes the model as it was before training, on a device; the smallest set is scored with it too.

    Raises:
        UserError: an evaluation set cannot be read, or there is no memory left.
    """
    from stages.runtime.oom import in_one_line

    attempt = _Attempt()
    with in_one_line(attempt):
        return _evaluate(settings, attempt, untrained)


def _evaluate(
    settings: EvaluateSettings, attempt: "_Attempt", untrained: "Untrained | None"
) -> tuple[dict[str, Any], "Sequence[Explanation]"]:
    from sentence_transformers import SparseEncoder

    from stages.encoders.fast.model import make_fast
    from stages.evaluate.examples import candidates, choose
    from stages.evaluate.sparsifying import sparsifying_cost
    from stages.evaluate.summary import UNTRAINED_NDCG, SetResult, summary
    from stages.evaluate.terms import explain
    from stages.pretrained.files import Use, task_of
    from stages.pretrained.own_code import require_allowed_code
    from stages.retrieval.bm25 import retrieve
    from stages.retrieval.scores import NDCG, score
    from stages.retrieval.scoring import evaluate as evaluate_set
    from stages.retrieval.sets import RESERVED, distinct, load_sets
    from stages.runtime.device import choose_device

    require_allowed_code(FINAL, Use("model.base_model", f"the model in {FINAL}", task_of(FINAL, "trained"), settings.trust_remote_code))
    device = choose_device(settings.device)
    # local_files_only: else sentence-transformers asks the Hub for a repository of the folder's name
    model = SparseEncoder(str(FINAL), trust_remote_code=settings.trust_remote_code, device=device, local_files_only=True)
    make_fast(model)
    results = []
    loaded = (load_sets(SETS / name, name, **form.model_dump()) for name, form in settings.sets.items())
    retrieval_sets = distinct([retrieval_set for sets in loaded for retrieval_set in sets], [*RESERVED, *settings.mteb])
    smallest = min(retrieval_sets, key=lambda each: len(each.corpus) + len(each.queries), default=None)
    for each in retrieval_sets:
        print(each.account(), flush=True)
        attempt.at(f"scoring {each.name}")
        result = evaluate_set(model, each, batch_size=settings.batch_size, show_progress=True)
        cost = sparsifying_cost(model, each, settings.active_dims, settings.batch_size)
        bm25 = score(retrieve(each), each.qrels)[NDCG]
        if each is smallest and untrained:
            attempt.at(f"scoring {each.name} with the untrained model")
            before = evaluate_set(untrained(device), each, batch_size=settings.batch_size, show_progress=True)
            cost |= {UNTRAINED_NDCG: before.metrics[NDCG]}
        results.append(SetResult(each.name, each.nano, result.metrics | cost, bm25, candidates(each, result.run), each.unknown_ids))
    if settings.mteb:
        from stages.evaluate.mteb_tasks import evaluate_mteb

        for task in settings.mteb:
            attempt.at(f"scoring {task}")
            results += evaluate_mteb(
                model, task, MTEB / task, batch_size=settings.batch_size, show_progress=True, active_dims=settings.active_dims
            )
    attempt.at("explaining queries")
    return summary(results), [explain(model, example) for example in choose([result.examples for result in results])]


@dataclass
class _Attempt:
    """What the stage is at, and what to do if there is no memory left for it."""

    doing: str = "loading the model"
    remedy: str = "use a smaller model, or set training.device to cpu"

    def at(self, doing: str) -> None:
        self.doing, self.remedy = doing, "halve evaluation.per_device_eval_batch_size, then model.max_seq_length"

    def __str__(self) -> str:
        return f"evaluation: out of memory while {self.doing}; {self.remedy}"


if __name__ == "__main__":
    run_stage(main)
