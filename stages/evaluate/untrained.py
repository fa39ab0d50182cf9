"""The untrained model's scores on a set: what training started from. For csr that is the control, by number of active dimensions.

It costs one more encoding of the set (none for csr, whose base is frozen), so each score is kept outside DVC's outputs, by a digest of
everything that determines it. Further runs on the same base read it, whatever their losses, training settings and, for SPLADE, training
rows. Deleting the store costs only time.
"""

import hashlib
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from sentence_transformers import SparseEncoder

from stages.config.settings import TrainSettings
from stages.retrieval.scores import NDCG
from stages.retrieval.sets import RetrievalSet
from stages.runtime.files import read_json, write_json
from stages.runtime.kept import digest

CODE = ("encoders", "pretrained", "retrieval")


@dataclass
class Untrained:
    """Scores sets with the model as it was before its first training step.

    Attributes:
        build: builds the model; called once, and only if a score is not in the store.
        made_from: digest of everything that the model and its scores are made from, apart from the set: see `made_from`.
        store: folder of the kept scores.
    """

    build: Callable[[], SparseEncoder]
    made_from: str
    store: Path

    @cached_property
    def model(self) -> SparseEncoder:
        return self.build()

    def metrics(self, retrieval_set: RetrievalSet, score: Callable[[SparseEncoder, RetrievalSet], dict[str, float]]) -> dict[str, float]:
        """The model's scores on a set, ``ndcg@10`` among them: the kept ones, else what ``score`` gives for the model."""
        kept = self.store / f"{_digest(self.made_from, retrieval_set)}.json"
        with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):  # a damaged file costs only time
            scores = {name: float(value) for name, value in read_json(kept)["scores"].items()}
            scores[NDCG]  # a KeyError for a file without it
            return scores
        scores = score(self.model, retrieval_set)
        with suppress(OSError):  # a full or read-only disk: then the set is scored again next time
            write_json(kept, {"set": retrieval_set.name, "scores": scores})
        return scores


def made_from(settings: TrainSettings, base: Path, rows: Path, *others: Any) -> str:
    """The digest of what determines an untrained model: architecture, ``model`` settings, the files of ``base``, and our code.

    The first weights of the other architectures than SPLADE also follow from the training ``rows`` and the seed: idf weights, whitening.

    Args:
        others: what else the scores depend on: the device, the batch size.
    """
    splade = settings.architecture == "splade"
    seed = None if splade else settings.seed
    values = [settings.architecture, settings.model.model_dump(mode="json"), seed, *others]
    return digest(values, [base] if splade else [base, rows], CODE)


def _digest(made_from: str, retrieval_set: RetrievalSet) -> str:
    total = hashlib.sha256(made_from.encode())
    for part in (retrieval_set.queries, retrieval_set.corpus, retrieval_set.qrels):
        total.update(f"{len(part)}\n".encode())
        for pair in part.items():
            total.update(f"{json.dumps(pair)}\n".encode())
    total.update(json.dumps(sorted(retrieval_set.own)).encode())
    return total.hexdigest()
