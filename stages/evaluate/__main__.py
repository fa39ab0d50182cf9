"""Score models/final on every evaluation set, next to BM25, and draw the scores and the terms of a few queries."""

from dataclasses import asdict
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from stages.config.params import load_resolved
from stages.config.settings import EvaluateSettings, TrainSettings
from stages.runtime.errors import run_stage
from stages.runtime.files import atomic_write, mark_unused, write_json
from stages.runtime.root import place

if TYPE_CHECKING:
    from sentence_transformers import SparseEncoder

    from stages.evaluate.baselines import Baselines
    from stages.evaluate.scorer import Attempt
    from stages.evaluate.summary import SetResult
    from stages.evaluate.terms import Explanation
    from stages.evaluate.untrained import Untrained
    from stages.retrieval.treatment import Treatment

MIXED, BASE, MADE, DENSE = Path("data/mixed/train.parquet"), Path("models/base"), Path("models/made"), Path("models/dense")
FINAL, FINGERPRINT = Path("models/final"), Path("models/fingerprint.txt")
COMPARE = Path("models/compare")
SETS, MTEB = Path("data/eval"), Path("data/mteb")
SUMMARY = Path("metrics/summary.json")
"""The few metrics that `dvc exp show` and `dvc metrics diff` compare."""
METRICS, PICTURE = Path("metrics/evaluation.json"), Path("metrics/evaluation.png")
CURVES, CURVES_PICTURE = Path("metrics/curves.json"), Path("metrics/curves.png")
EXPLANATIONS, SLICES = Path("metrics/explain.png"), Path("metrics/slices.json")
QUERIES = Path("metrics/queries")
UNTRAINED = Path("checkpoints/untrained")
"""Scores of untrained models, kept for later runs on the same base."""
MTEB_RESULTS = Path("metrics/mteb")


def main() -> str:
    from stages.runtime.quiet import quiet_libraries
    from stages.tracking.run import open_tracker

    quiet_libraries()
    # opened first: MLflow starts in its own process while this one imports and encodes
    with open_tracker(FINGERPRINT.read_text(encoding="utf-8").strip()) as tracker:
        evaluation = score_and_draw(load_resolved("evaluate", EvaluateSettings))
        tracker.metrics(evaluation)

    from stages.evaluate.summary import headline, warnings

    for warning in warnings(evaluation):
        print(warning)
    return f"{headline(evaluation)}; see `nordic-sparse report`"


def score_and_draw(settings: EvaluateSettings) -> dict[str, Any]:
    """Score the model and write all of the stage's outputs; returns the content of metrics/evaluation.json."""
    from stages.evaluate.curve_pictures import draw_curves
    from stages.evaluate.curves import as_json
    from stages.evaluate.pictures import draw_evaluation, draw_explanations
    from stages.evaluate.slices import slices
    from stages.evaluate.summary import few, summary

    treatment = treatment_of(settings)
    with atomic_write(QUERIES) as folder:
        results, explanations = evaluate(settings, treatment, untrained_model(settings, treatment), folder)
    evaluation = summary(results)
    write_json(METRICS, evaluation)
    write_json(SUMMARY, few(evaluation))
    scored = [(each.retrieval_set, each.by_query) for each in results if each.retrieval_set]
    write_json(SLICES, slices(scored, [each.metrics for each in results if each.retrieval_set]))
    with atomic_write(PICTURE) as temporary:
        draw_evaluation(results, temporary)
    curves = {result.name: result.curves for result in results if result.curves}
    write_json(CURVES, as_json(curves))
    with atomic_write(CURVES_PICTURE) as temporary:
        draw_curves(curves, temporary)
    with atomic_write(EXPLANATIONS) as temporary:
        draw_explanations(explanations, temporary)
    return evaluation


def treatment_of(settings: EvaluateSettings) -> "Treatment":
    """How the model's documents and vectors are treated: what training wrote into its folder, pruned as ``settings`` say."""
    from stages.retrieval.treatment import Treatment

    return Treatment.pruned(FINAL, settings.pruning)


def untrained_model(settings: EvaluateSettings, treatment: "Treatment") -> "Untrained":
    """The model of resolved/train.yaml before its first training step."""
    from sentence_transformers import SparseEncoder

    from stages.encoders.building import build
    from stages.evaluate.untrained import Untrained, made_from
    from stages.pretrained.norbert import prepare_base
    from stages.rows.parquet import texts
    from stages.runtime.device import choose_device

    training, device = load_resolved("train", TrainSettings), choose_device(settings.device)
    base = MADE if training.model.from_make_base else BASE

    def build_it() -> SparseEncoder:
        with TemporaryDirectory() as folder:
            return build(training, prepare_base(base, Path(folder)), partial(texts, MIXED), device)

    return Untrained(
        build_it, made_from(training, base, MIXED, device, settings.batch_size, settings.active_dims, asdict(treatment)), place(UNTRAINED)
    )


def evaluate(
    settings: EvaluateSettings, treatment: "Treatment", untrained: "Untrained | None" = None, queries: Path | None = None
) -> tuple[list["SetResult"], list["Explanation"]]:
    """Score every evaluation set, and explain a few of their queries.

    Args:
        treatment: of documents and vectors, for the sets; MTEB tasks are scored without any.
        untrained: the model as it was before training; the sets are scored with it too, the MTEB tasks only for csr.
        queries: new folder for the scores by query and the runs.

    Raises:
        UserError: an evaluation set cannot be read, or the memory is too small.
    """
    from sentence_transformers import SparseEncoder

    from stages.encoders.fast.model import make_fast
    from stages.evaluate.baselines import Baselines, load_dense
    from stages.evaluate.compare_model import load_sparse
    from stages.evaluate.examples import choose
    from stages.evaluate.query_files import dimension_names, write_queries
    from stages.evaluate.scorer import Attempt, Scorer
    from stages.evaluate.terms import explain
    from stages.pretrained.files import Use, task_of
    from stages.pretrained.own_code import require_allowed_code
    from stages.retrieval.sets import RESERVED, distinct, load_sets
    from stages.runtime.device import choose_device
    from stages.runtime.oom import memory_errors

    require_allowed_code(FINAL, Use("model.base_model", f"the model in {FINAL}", task_of(FINAL, "trained"), settings.trust_remote_code))
    device = choose_device(settings.device)
    with memory_errors(attempt := Attempt()):
        # without local_files_only, sentence-transformers asks the Hub for a repository with the folder's name
        model = SparseEncoder(str(FINAL), trust_remote_code=settings.trust_remote_code, device=device, local_files_only=True)
        make_fast(model)
        attempt.at("loading evaluation.compare_model")
        compare = load_sparse(COMPARE, settings.compare.trust_remote_code, device, treatment) if settings.compare else None
        attempt.at("loading evaluation.dense")
        dense = load_dense(DENSE, settings.dense, device) if settings.dense else None
        baselines = Baselines(settings.bm25, dense, settings.batch_size)
        tasks = _tasks(settings.mteb)
        loaded = (load_sets(SETS / name, name, **form.model_dump(exclude_none=True)) for name, form in settings.sets.items())
        retrieval_sets = distinct([retrieval_set for sets in loaded for retrieval_set in sets], [*RESERVED, *tasks])
        for each in retrieval_sets:
            if remarks := each.remarks():
                print(remarks, flush=True)
        scorer = Scorer(model, treatment, baselines, compare, untrained, settings.active_dims, settings.batch_size, attempt)
        results = [scorer.score(each) for each in retrieval_sets]
        results += _of_mteb(model, settings, tasks, baselines, untrained, attempt)
        attempt.at("writing the scores by query")
        if queries:
            queries.mkdir()
            for scored in results:
                if scored.retrieval_set:
                    write_queries(queries, scored.retrieval_set, scored.runs, scored.encoded, dimension_names(model), scored.as_zero)
        attempt.at("explaining queries")
        return results, [explain(model, example, treatment) for example in choose([result.examples for result in results])]


def _tasks(names: list[str]) -> list[str]:
    """The MTEB tasks that ``names`` of tasks and benchmarks stand for; importing mteb takes seconds."""
    if not names:
        return []
    from stages.retrieval.mteb import expand

    return expand(names)


def _of_mteb(
    model: "SparseEncoder",
    settings: EvaluateSettings,
    tasks: list[str],
    baselines: "Baselines",
    untrained: "Untrained | None",
    attempt: "Attempt",
) -> list["SetResult"]:
    """The results of MTEB's tasks, which are also written to metrics/mteb in mteb's own format."""
    if not tasks:
        mark_unused(MTEB_RESULTS)
        return []
    from stages.evaluate.mteb_results import model_meta
    from stages.evaluate.mteb_tasks import evaluate_mteb

    about = settings.about.model_dump() if settings.about else {}
    meta = model_meta(
        model,
        revision=FINGERPRINT.read_text(encoding="utf-8").strip(),
        name=settings.model_id,
        license=settings.license,
        trust_remote_code=settings.trust_remote_code,
        **about,
    )
    results: list[SetResult] = []
    with atomic_write(MTEB_RESULTS) as folder:
        for task in tasks:
            attempt.at(f"scoring {task}")
            before = (lambda: untrained.model) if untrained else None
            sizes: Any = {"batch_size": settings.batch_size, "active_dims": settings.active_dims, "languages": about.get("languages", ())}
            results += evaluate_mteb(model, task, MTEB / task, meta=meta, results=folder, baselines=baselines, untrained=before, **sizes)
    return results


if __name__ == "__main__":
    run_stage(main)
