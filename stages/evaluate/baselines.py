"""What a model is compared with on each set: BM25 in two forms, a dense model, and hybrids of two systems."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from sentence_transformers import SentenceTransformer

from stages.config.schema import BM25
from stages.config.settings import DenseSettings
from stages.evaluate import dense
from stages.evaluate.fusion import hybrids
from stages.evaluate.progress import progress
from stages.pretrained.files import Use, task_of
from stages.pretrained.norbert import prepare_base
from stages.pretrained.own_code import require_allowed_code
from stages.retrieval import bm25
from stages.retrieval.scores import MODEL, NDCG, Run, metric_of, score
from stages.retrieval.sets import RetrievalSet


@dataclass(frozen=True)
class Baselines:
    """The systems that are the same for every set.

    Attributes:
        bm25: k1 and b of the stemmed BM25, where they are not the usual ones.
        dense: evaluation.dense; None if it names no model.
    """

    bm25: BM25 = field(default_factory=BM25)
    dense: SentenceTransformer | None = None
    batch_size: int = 32

    def runs(self, retrieval_set: RetrievalSet, model: Run, base: Run | None = None) -> dict[str, Run]:
        """The runs on a set by system: model, bm25, bm25_stemmed; dense, base and the hybrids if there are any.

        Args:
            base: of a CSR model's dense base. It is the dense system if there is no other.
        """
        runs = {MODEL: model, "bm25": bm25.retrieve(retrieval_set)}
        runs["bm25_stemmed"] = bm25.retrieve_stemmed(retrieval_set, **self.bm25.model_dump(exclude_none=True))
        if self.dense is not None:
            with progress(self.dense, f"{retrieval_set.name}, dense", len(retrieval_set.queries) + len(retrieval_set.corpus)):
                runs["dense"] = dense.retrieve(self.dense, retrieval_set, self.batch_size)
        if base is not None:
            runs["base" if "dense" in runs else "dense"] = base
        return runs | hybrids(runs)


def load_dense(folder: Path, settings: DenseSettings, device: str) -> SentenceTransformer:
    """The dense model in ``folder``, which the download stage has checked; `UserError` if it needs code that is not allowed."""
    trust = settings.trust_remote_code
    require_allowed_code(folder, Use("evaluation.dense", f"the model in {folder}", task_of(folder, "dense"), trust))
    prompts = settings.prompts.given()  # they replace those in its files
    with TemporaryDirectory() as work:
        ready = str(prepare_base(folder, Path(work)))
        return SentenceTransformer(ready, trust_remote_code=trust, device=device, prompts=prompts, local_files_only=True)


def ndcg_by_system(runs: Mapping[str, Run], retrieval_set: RetrievalSet) -> dict[str, float]:
    """nDCG@10 of each system but the model and plain BM25, by `metric_of`."""
    others = {system: run for system, run in runs.items() if system not in (MODEL, "bm25")}
    return {metric_of(system): score(run, retrieval_set.qrels)[NDCG] for system, run in others.items()}
