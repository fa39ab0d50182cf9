"""An off-the-shelf sparse model, evaluation.compare_model, scored on the same sets as ours."""

from pathlib import Path

from sentence_transformers import SparseEncoder

from stages.pretrained.files import Use, task_of
from stages.pretrained.own_code import require_allowed_code
from stages.retrieval.scores import CORPUS_DIMS, NDCG, QUERY_DIMS, Run, metric_of
from stages.retrieval.scoring import evaluate
from stages.retrieval.sets import RetrievalSet


def load_sparse(folder: Path, trust_remote_code: bool, device: str) -> SparseEncoder:
    """The model in ``folder``; `UserError` if it needs code that params.yaml does not allow."""
    key = "evaluation.compare_model"
    require_allowed_code(folder, Use(key, f"the model in {folder}", task_of(folder, "compare"), trust_remote_code))
    return SparseEncoder(str(folder), trust_remote_code=trust_remote_code, device=device, local_files_only=True)


def compared(model: SparseEncoder, retrieval_set: RetrievalSet, batch_size: int) -> tuple[Run, dict[str, float]]:
    """The model's run, and ``compare_ndcg@10`` with its mean active dimensions."""
    result = evaluate(model, retrieval_set, batch_size)
    return result.run, {metric_of("compare", name): result.metrics[name] for name in (NDCG, QUERY_DIMS, CORPUS_DIMS)}
