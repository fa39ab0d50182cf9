"""Everything that the stage computes on one evaluation set, from one encoding of its texts by each model.

A CSR model, its control and its dense base share one: the base's vectors, which training does not change.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from sentence_transformers import SparseEncoder

from stages.encoders.active_dims import BaseVectors, autoencoder_of
from stages.evaluate.baselines import Baselines, ndcg_by_system
from stages.evaluate.compare_model import CompareModel, compared
from stages.evaluate.curves import curves
from stages.evaluate.examples import candidates
from stages.evaluate.graded import graded_scores
from stages.evaluate.progress import progress
from stages.evaluate.search_cost import search_cost
from stages.evaluate.significance import BASELINES
from stages.evaluate.sparsifying import ndcg_by_dims, sparsifying_cost
from stages.evaluate.summary import UNTRAINED_NDCG, SetResult
from stages.evaluate.untrained import Untrained
from stages.retrieval.documents import truncation
from stages.retrieval.scores import NDCG, metric_of, score
from stages.retrieval.scoring import encode_set, evaluate_encoded
from stages.retrieval.sets import RetrievalSet
from stages.retrieval.treatment import Treatment
from stages.retrieval.vectors import Encoded


@dataclass
class Attempt:
    """What the stage is doing, and what to change if the memory does not suffice for it."""

    doing: str = "loading the model"
    remedy: str = "use a smaller model, or set training.device to cpu"

    def at(self, doing: str) -> None:
        self.doing, self.remedy = doing, "halve evaluation.per_device_eval_batch_size, then model.max_seq_length"

    def __str__(self) -> str:
        return f"evaluation: out of memory while {self.doing}; {self.remedy}"


@dataclass(frozen=True)
class Scorer:
    """Scores the model, and what it is compared with, on one set after another.

    Attributes:
        treatment: of the model's documents and vectors.
        compare: evaluation.compare_model; None if it names no model.
        untrained: the model as it was before training; None to leave it out.
        active_dims: as in `sparsifying_cost`.
    """

    model: SparseEncoder
    treatment: Treatment
    baselines: Baselines
    compare: CompareModel | None
    untrained: Untrained | None
    active_dims: Sequence[int]
    batch_size: int
    attempt: Attempt

    def score(self, retrieval_set: RetrievalSet) -> SetResult:
        """The metrics, runs and curves of one set."""
        name, qrels = retrieval_set.name, retrieval_set.qrels
        queries, documents = len(retrieval_set.queries), len(retrieval_set.corpus)
        self.attempt.at(f"scoring {name}")
        with progress(self.model, name, queries + documents):
            csr = autoencoder_of(self.model) is not None
            vectors = BaseVectors.of(self.model, retrieval_set, self.batch_size, self.treatment) if csr else None
            result = evaluate_encoded(self._encoded(self.model, retrieval_set, vectors), retrieval_set, self.treatment)
        sparsifying, base = sparsifying_cost(self.model, vectors, result.unpruned, self.active_dims)
        self.attempt.at(f"scoring {name} with its baselines")
        runs = self.baselines.runs(retrieval_set, result.run, base)
        metrics = result.metrics | sparsifying | ndcg_by_system(runs, retrieval_set)
        if self.compare:
            self.attempt.at(f"scoring {name} with evaluation.compare_model")
            runs["compare"], scores = compared(self.compare, retrieval_set, self.batch_size)
            metrics |= scores
        metrics |= search_cost(result.encoded) | graded_scores(runs, retrieval_set)
        metrics |= truncation(self.model, list(retrieval_set.corpus.values()), self.treatment)
        if self.untrained:
            self.attempt.at(f"scoring {name} with the untrained model")
            untrained = self.untrained.metrics(retrieval_set, partial(self._untrained, vectors))
            metrics[UNTRAINED_NDCG] = untrained[NDCG]
            if vectors:  # csr's untrained model is the control
                metrics |= {metric_of("control", name): value for name, value in untrained.items()}
        return SetResult(
            name,
            retrieval_set.nano,
            metrics,
            score(runs[BASELINES[0]], qrels)[NDCG],
            queries,
            documents,
            candidates(retrieval_set, result.run),
            retrieval_set.unknown_ids,
            retrieval_set=retrieval_set,
            runs=runs,
            encoded=result.encoded,
            curves=curves(result.unpruned, retrieval_set, result.unpruned_run),
        )

    def _encoded(self, model: SparseEncoder, retrieval_set: RetrievalSet, vectors: BaseVectors | None) -> Encoded:
        return vectors.encoded(model) if vectors else encode_set(model, retrieval_set, self.batch_size, self.treatment)

    def _untrained(self, vectors: BaseVectors | None, model: SparseEncoder, retrieval_set: RetrievalSet) -> dict[str, float]:
        with progress(model, f"{retrieval_set.name}, untrained", len(retrieval_set.queries) + len(retrieval_set.corpus)):
            encoded = self._encoded(model, retrieval_set, vectors)
        ndcg = evaluate_encoded(encoded, retrieval_set, self.treatment).metrics[NDCG]
        return {NDCG: ndcg} | ndcg_by_dims(model, vectors, self.active_dims)
