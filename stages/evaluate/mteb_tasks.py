"""Retrieval tasks of MTEB (https://github.com/embeddings-benchmark/mteb), scored by mteb itself from local files.

Importing this module imports mteb, which takes seconds: import it only if ``evaluation.mteb`` names a task.
"""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mteb
import torch
from mteb.models.sentence_transformer_wrapper import SparseEncoderWrapper
from mteb.types import PromptType
from sentence_transformers import SparseEncoder
from sentence_transformers.util import compute_count_vector

from stages.evaluate.examples import candidates
from stages.evaluate.progress import progress
from stages.evaluate.sparsifying import sparsifying_cost
from stages.evaluate.summary import SetResult
from stages.retrieval import bm25
from stages.retrieval.mteb import as_retrieval_set, load_task, own_cache
from stages.retrieval.scores import CORPUS_DIMS, DEAD, FLOPS, MRR, NDCG, QUERY_DIMS, RECALL, score

MTEB_NAMES = {NDCG: "ndcg_at_10", MRR: "mrr_at_10", RECALL: "recall_at_100"}


class RecordingEncoder(SparseEncoderWrapper):
    """mteb's own wrapper (sparse, by `encode_query` and `encode_document`), recording how often each dimension is active."""

    def __init__(self, model: SparseEncoder) -> None:
        super().__init__(model)
        self._active: dict[tuple[str, str, PromptType], tuple[Any, int]] = defaultdict(lambda: (0, 0))  # counts by dimension; texts

    def encode(self, inputs: Any, *, hf_split: str, hf_subset: str, prompt_type: PromptType | None = None, **kwargs: Any) -> Any:
        embeddings: Any = super().encode(inputs, hf_split=hf_split, hf_subset=hf_subset, prompt_type=prompt_type, **kwargs)
        if prompt_type is not None:
            counts, texts = self._active[hf_subset, hf_split, prompt_type]
            self._active[hf_subset, hf_split, prompt_type] = counts + compute_count_vector(embeddings).double(), texts + len(embeddings)
        return embeddings

    def sparsity(self, subset: str, split: str) -> dict[str, float]:
        """Active dimensions and FLOPS as sentence-transformers' sparse evaluator defines them."""
        of_kind = (self._active[subset, split, kind] for kind in (PromptType.query, PromptType.document))
        queries, corpus = (counts / texts for counts, texts in of_kind)
        return {QUERY_DIMS: float(queries.sum()), CORPUS_DIMS: float(corpus.sum()), FLOPS: float(torch.dot(queries, corpus))}


def evaluate_mteb(
    model: SparseEncoder,
    task_name: str,
    folder: Path,
    batch_size: int = 32,
    languages: Sequence[str] | None = None,
    active_dims: Sequence[int] = (),
) -> list[SetResult]:
    """Run one task of mteb on the files in ``folder`` and nothing else; one result for each subset and split.

    The three scores are mteb's own: nDCG and recall rounded to five digits, ties by descending document id, a query without a
    relevant document counted as 0. Active dimensions and FLOPS are those of the embeddings that mteb asked for. BM25 and, for csr,
    `sparsifying_cost` are ours, on the texts that mteb loaded, also with 0 for a query without a relevant document.

    Args:
        folder: the files of the task's data set, as on the Hub.
        languages: of a multilingual task, in ISO 639-3 (nob, nno, dan, swe).
        active_dims: as in `sparsifying_cost`.

    Returns:
        results named after the task, with "/subset/split" added if it has several.
    """
    encoder = RecordingEncoder(model)
    options: Any = {"batch_size": batch_size, "show_progress_bar": False, "save_to_cpu": True}  # of `SparseEncoder.encode_*`
    results = []
    with own_cache():
        task = load_task(task_name, folder, languages)
        parts = [splits[split] for splits in task.dataset.values() for split in task.eval_splits]
        texts = sum(len(part["queries"]) + len(part["corpus"]) for part in parts)
        with progress(model, task_name, texts):
            found = mteb.evaluate(encoder, task, co2_tracker=False, cache=None, encode_kwargs=options, show_progress_bar=False)
            by_split = found.task_results[0].scores
            scored = [(split, scores) for split in task.eval_splits for scores in by_split[split]]
            for split, scores in scored:
                subset = scores["hf_subset"]
                name = task.metadata.name if len(scored) == 1 else f"{task.metadata.name}/{subset}/{split}"
                data = task.dataset[subset][split]
                queries, documents = len(data["queries"]), len(data["corpus"])
                retrieval_set = as_retrieval_set(name, data, str(folder), task.ignore_identical_ids)
                answered = len(retrieval_set.queries) / queries  # the others count as 0
                cost = sparsifying_cost(model, retrieval_set, active_dims, batch_size)
                metrics = {ours: float(scores[theirs]) for ours, theirs in MTEB_NAMES.items()} | encoder.sparsity(subset, split)
                metrics |= {key: value if key == DEAD else value * answered for key, value in cost.items()}
                baseline = score(bm25.retrieve(retrieval_set), retrieval_set.qrels)[NDCG] * answered
                results.append(SetResult(name, False, metrics, baseline, queries, documents, candidates(retrieval_set)))
    return results
