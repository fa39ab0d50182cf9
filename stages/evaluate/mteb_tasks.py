"""Retrieval tasks of MTEB (https://github.com/embeddings-benchmark/mteb), scored by mteb itself from local files.

Importing this module imports mteb, which takes seconds: import it only if ``evaluation.mteb`` names a task.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import mteb
from mteb.models.model_meta import ModelMeta
from mteb.models.sentence_transformer_wrapper import SparseEncoderWrapper
from mteb.types import PromptType
from scipy.sparse import csr_array
from sentence_transformers import SparseEncoder

from stages.encoders.active_dims import BaseVectors, autoencoder_of
from stages.evaluate.baselines import Baselines, ndcg_by_system
from stages.evaluate.curves import curves
from stages.evaluate.examples import candidates
from stages.evaluate.progress import progress
from stages.evaluate.search_cost import search_cost
from stages.evaluate.significance import BASELINES
from stages.evaluate.sparsifying import ndcg_by_dims, sparsifying_cost
from stages.evaluate.summary import SetResult
from stages.retrieval.documents import truncation
from stages.retrieval.mteb import as_retrieval_set, language_of, load_task, own_cache
from stages.retrieval.scores import DEAD, MRR, NDCG, RECALL, metric_of, score
from stages.retrieval.scoring import evaluate_encoded, retrieve, sparsity
from stages.retrieval.sets import RetrievalSet
from stages.retrieval.treatment import Treatment
from stages.retrieval.vectors import CHUNK, Encoded, stacked, to_csr

MTEB_NAMES = {NDCG: "ndcg_at_10", MRR: "mrr_at_10", RECALL: "recall_at_100"}


class RecordingEncoder(SparseEncoderWrapper):
    """mteb's own wrapper (sparse, by `encode_query` and `encode_document`), keeping the vectors of what it encodes, with their ids."""

    def __init__(self, model: SparseEncoder, meta: ModelMeta | None = None) -> None:
        super().__init__(model)
        self.mteb_model_meta = meta or self.mteb_model_meta
        self._kept: dict[tuple[str, str, PromptType], tuple[list[str], list[csr_array]]] = defaultdict(lambda: ([], []))

    def encode(self, inputs: Any, *, hf_split: str, hf_subset: str, prompt_type: PromptType | None = None, **kwargs: Any) -> Any:
        embeddings: Any = super().encode(inputs, hf_split=hf_split, hf_subset=hf_subset, prompt_type=prompt_type, **kwargs)
        if prompt_type is not None:
            ids, chunks = self._kept[hf_subset, hf_split, prompt_type]
            ids += inputs.dataset["id"]
            chunks.append(stacked([to_csr(embeddings)]))  # out of memory, into temporary files
        return embeddings

    def take(self, subset: str, split: str, retrieval_set: RetrievalSet) -> tuple[dict[str, float], Encoded]:
        """The `sparsity` of all that mteb asked for, and the vectors of ``retrieval_set`` in its order. They are kept no longer."""
        found = [self._kept.pop((subset, split, kind)) for kind in (PromptType.query, PromptType.document)]
        ids, matrices = [each for each, _ in found], [stacked(chunks) for _, chunks in found]
        wanted = (list(retrieval_set.queries), list(retrieval_set.corpus))
        chosen = [_rows(matrix, has, wants) for matrix, has, wants in zip(matrices, ids, wanted, strict=True)]
        return sparsity(Encoded.whole(*matrices)), Encoded.whole(*chosen)


def _rows(matrix: csr_array, ids: list[str], wanted: list[str]) -> csr_array:
    """The rows of ``matrix``, named by ``ids``, that are ``wanted``, in that order."""
    if ids == wanted:
        return matrix
    places = {identifier: place for place, identifier in enumerate(ids)}
    order = [places[identifier] for identifier in wanted]
    return stacked(matrix[order[start : start + CHUNK]] for start in range(0, len(order), CHUNK))


def _control(untrained: SparseEncoder, vectors: BaseVectors, active_dims: Sequence[int]) -> dict[str, float]:
    """nDCG@10 of csr's control on the base's vectors, also with each number of active dimensions."""
    ndcg = evaluate_encoded(vectors.encoded(untrained), vectors.retrieval_set).metrics[NDCG]
    found = {NDCG: ndcg} | ndcg_by_dims(untrained, vectors, active_dims)
    return {metric_of("control", name): value for name, value in found.items()}


def evaluate_mteb(
    model: SparseEncoder,
    task_name: str,
    folder: Path,
    batch_size: int = 32,
    languages: Sequence[str] = (),
    active_dims: Sequence[int] = (),
    meta: ModelMeta | None = None,
    results: Path | None = None,
    baselines: Baselines | None = None,
    untrained: Callable[[], SparseEncoder] | None = None,
) -> list[SetResult]:
    """Run one task of mteb on the files in ``folder`` and nothing else; one result for each subset and split.

    The three scores are mteb's own: nDCG and recall rounded to five digits, ties by descending document id, a query without a
    relevant document counted as 0. Active dimensions and FLOPS are those of the embeddings that mteb asked for. The baselines and,
    for csr, `sparsifying_cost` are ours, on the texts that mteb loaded, also with 0 for a query without a relevant document.

    Args:
        folder: the files of the task's data set, as on the Hub.
        languages: as in `get_task`.
        active_dims: as in `sparsifying_cost`.
        meta: the model as mteb should know it.
        results: the folder of a `mteb.ResultCache`, to which mteb adds its result.
        baselines: to compare with; None: BM25.
        untrained: gives the model as it was before training, whose scores are csr's control; called only for csr.

    Returns:
        results named after the task, with "/subset/split" added if it has several.
    """
    encoder = RecordingEncoder(model, meta)
    options: Any = {"batch_size": batch_size, "show_progress_bar": False, "save_to_cpu": True}  # of `SparseEncoder.encode_*`
    cache, baselines = mteb.ResultCache(results) if results else None, baselines or Baselines()
    set_results = []
    with own_cache():
        task = load_task(task_name, folder, languages)
        parts = [splits[split] for splits in task.dataset.values() for split in task.eval_splits]
        texts = sum(len(part["queries"]) + len(part["corpus"]) for part in parts)
        csr = autoencoder_of(model) is not None
        with progress(model, task_name, texts * (1 + csr)):  # csr's base encodes them too
            found = mteb.evaluate(encoder, task, co2_tracker=False, cache=cache, encode_kwargs=options, show_progress_bar=False)
            by_split = found.task_results[0].scores
            scored = [(split, scores) for split in task.eval_splits for scores in by_split[split]]
            for split, scores in scored:
                subset = scores["hf_subset"]
                name = task.metadata.name if len(scored) == 1 else f"{task.metadata.name}/{subset}/{split}"
                data = task.dataset[subset][split]
                queries, documents = len(data["queries"]), len(data["corpus"])
                spoken = language_of(task, subset)
                retrieval_set = as_retrieval_set(name, data, str(folder), task.ignore_identical_ids, spoken)
                answered = len(retrieval_set.queries) / queries  # the others count as 0
                sparse, encoded = encoder.take(subset, split, retrieval_set)
                run = retrieve(encoded, retrieval_set)
                vectors = BaseVectors.of(model, retrieval_set, batch_size) if csr else None
                sparsifying, base = sparsifying_cost(model, vectors, encoded, active_dims)
                if vectors and untrained:
                    sparsifying |= _control(untrained(), vectors, active_dims)
                runs = baselines.runs(retrieval_set, run, base)
                metrics = {ours: float(scores[theirs]) for ours, theirs in MTEB_NAMES.items()} | sparse
                own = sparsifying | ndcg_by_system(runs, retrieval_set)
                metrics |= {key: value if key == DEAD else value * answered for key, value in own.items()}
                metrics |= search_cost(encoded) | truncation(model, list(retrieval_set.corpus.values()), Treatment())
                set_results.append(
                    SetResult(
                        name,
                        False,
                        metrics,
                        score(runs[BASELINES[0]], retrieval_set.qrels)[NDCG] * answered,
                        queries,
                        documents,
                        candidates(retrieval_set, run),
                        retrieval_set=retrieval_set,
                        runs=runs,
                        encoded=encoded,
                        curves=curves(encoded, retrieval_set, run),
                    )
                )
    return set_results
