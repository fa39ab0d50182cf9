"""An off-the-shelf sparse model, evaluation.compare_model, scored on the same sets as ours."""

from dataclasses import dataclass
from pathlib import Path

from sentence_transformers import SparseEncoder

from stages.pretrained.files import Use, task_of
from stages.pretrained.own_code import require_allowed_code
from stages.retrieval.scores import CORPUS_DIMS, NDCG, QUERY_DIMS, Run, metric_of
from stages.retrieval.scoring import evaluate
from stages.retrieval.sets import RetrievalSet
from stages.retrieval.treatment import FILE, Treatment


@dataclass(frozen=True)
class CompareModel:
    """A model, and the treatment of its documents and vectors."""

    model: SparseEncoder
    treatment: Treatment


def load_sparse(folder: Path, trust_remote_code: bool, device: str, ours: Treatment) -> CompareModel:
    """The model in ``folder``; `UserError` if it needs code that params.yaml does not allow.

    Without a retrieval.json of its own, its long documents are treated like ``ours``, so that the comparison is not one of windows.
    """
    key = "evaluation.compare_model"
    require_allowed_code(folder, Use(key, f"the model in {folder}", task_of(folder, "compare"), trust_remote_code))
    treatment = Treatment.read(folder) if (folder / FILE).is_file() else Treatment(ours.long_documents, ours.window, ours.overlap)
    model = SparseEncoder(str(folder), trust_remote_code=trust_remote_code, device=device, local_files_only=True)
    return CompareModel(model, treatment)


def compared(other: CompareModel, retrieval_set: RetrievalSet, batch_size: int) -> tuple[Run, dict[str, float]]:
    """The model's run, and ``compare_ndcg@10`` with its mean active dimensions."""
    result = evaluate(other.model, retrieval_set, batch_size, other.treatment)
    return result.run, {metric_of("compare", name): result.metrics[name] for name in (NDCG, QUERY_DIMS, CORPUS_DIMS)}
