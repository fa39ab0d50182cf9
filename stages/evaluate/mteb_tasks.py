"""Retrieval tasks of MTEB (https://github.com/embeddings-benchmark/mteb), scored by mteb itself from local files.

Importing this module imports mteb, which takes seconds: import it only where ``evaluation.mteb`` names a task.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mteb
from mteb.abstasks.retrieval import AbsTaskRetrieval
from sentence_transformers import SparseEncoder

from stages.evaluate.examples import candidates
from stages.evaluate.mteb_encoder import RecordingEncoder
from stages.evaluate.sparsifying import autoencoder_of, sparsifying_cost
from stages.evaluate.summary import SetResult
from stages.retrieval import bm25
from stages.retrieval.mteb import as_retrieval_set, load_task, own_cache
from stages.retrieval.scores import DEAD, MRR, NDCG, RECALL, score

MTEB_NAMES = {NDCG: "ndcg_at_10", MRR: "mrr_at_10", RECALL: "recall_at_100"}


def evaluate_mteb(
    model: SparseEncoder,
    task_name: str,
    folder: Path,
    batch_size: int = 32,
    show_progress: bool = False,
    languages: Sequence[str] | None = None,
    active_dims: Sequence[int] = (),
) -> list[SetResult]:
    """Run one task of mteb on the files in ``folder`` and nothing else; one result for each subset and split.

    ``folder`` holds the task's data set as it lies on the Hub. The three scores are mteb's own: nDCG and recall rounded
    to five digits, ties by descending document id, a query without a relevant document counted as 0 (BM25's nDCG@10 is
    then counted the same way). Active dimensions and FLOPS are those of the embeddings that mteb asked for.
    A CSR model also has `sparsifying_cost` at ``active_dims``, ours on the texts that mteb loaded, counted like BM25's.
    ``languages`` (ISO 639-3: nob, nno, dan, swe) narrows a multilingual task. A set is named after its task, with the
    subset and split behind it where the task has several.
    """
    with own_cache():
        return _evaluate(model, load_task(task_name, folder, languages), folder, batch_size, show_progress, active_dims)


def _evaluate(
    model: SparseEncoder, task: AbsTaskRetrieval, folder: Path, batch_size: int, show_progress: bool, active_dims: Sequence[int]
) -> list[SetResult]:
    encoder = RecordingEncoder(model)
    model_result = mteb.evaluate(
        encoder,
        task,
        co2_tracker=False,
        cache=None,
        encode_kwargs={"batch_size": batch_size, "show_progress_bar": show_progress, **ON_CPU},
        show_progress_bar=show_progress,
    )
    by_split = model_result.task_results[0].scores
    scored = [(split, scores) for split in task.eval_splits for scores in by_split[split]]
    results = []
    for split, scores in scored:
        subset = scores["hf_subset"]
        name = task.metadata.name if len(scored) == 1 else f"{task.metadata.name}/{subset}/{split}"
        data = task.dataset[subset][split]
        metrics = {ours: float(scores[theirs]) for ours, theirs in MTEB_NAMES.items()}
        metrics |= encoder.activations[subset, split].metrics()
        baseline = as_retrieval_set(name, data, str(folder), task.ignore_identical_ids)
        # On the documents and queries mteb loaded, queries without a relevant document counted as 0
        answered = len(baseline.queries) / len(data["queries"])
        ndcg = score(bm25.retrieve(baseline), baseline.qrels)[NDCG] * answered
        if autoencoder_of(model):
            cost = sparsifying_cost(model, baseline, active_dims, batch_size)
            metrics |= {key: value if key == DEAD else value * answered for key, value in cost.items()}
        results.append(SetResult(name, nano=False, metrics=metrics, bm25_ndcg=ndcg, examples=candidates(baseline)))
    return results


ON_CPU: Any = {"save_to_cpu": True}  # passed on to `SparseEncoder.encode_*`, though mteb's type does not list it
