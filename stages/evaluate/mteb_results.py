"""What mteb needs to know of a model beside its scores, so that its results can be read by mteb and submitted to its leaderboard.

mteb keeps results as ``results/<model>/<revision>/<task>.json`` with a ``model_meta.json`` (`mteb.ResultCache`). A model is zero-shot on a
task if ``training_datasets`` names neither the task nor one that mteb lists as similar, whichever split was trained on.

Importing this module imports mteb, which takes seconds.
"""

import json
import shutil
from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, get_args

import mteb
from mteb.models.model_meta import ModelMeta
from mteb.types import Licenses
from sentence_transformers import SparseEncoder
from transformers import PreTrainedModel

from stages.retrieval.mteb import ISO

UNPUBLISHED = "unpublished/nordic-sparse"
"""The name of a model without `hub.model_id`."""
META = "model_meta.json"

SAME_DATA = {
    "ltg/norquad": {"NorQuadRetrieval"},  # mteb has a copy
    "alexandrainst/scandi-qa": {"MKQARetrieval", "NQ"},  # MKQA's questions with passages of Natural Questions, translated
    # Some of its parts, by dataset_name, are DanFEVER, nordjylland-news, SweFAQ and NorQuAD.
    "jealk/supervised-da": {"DanFeverRetrieval", "TV2Nordretrieval", "SweFaqRetrieval", "NorQuadRetrieval"},
    "Fremtind/all-nli-norwegian": {"XNLI"},  # SNLI and MultiNLI, translated; MultiNLI is the training set of XNLI
    "NbAiLab/norwegian-paws-x": {"PawsXPairClassification", "PAWSX"},  # PAWS, translated, as PAWS-X is
    "tasksource/esci": {"ESCIReranking"},  # mteb has a copy
}
"""Hub id of a data set → the tasks of mteb with the same data under another id."""
BASES = {
    "thivy/norbert4-base-scandinavian-embedding": {
        "Fremtind/all-nli-norwegian",
        "ltg/norquad",
        "alexandrainst/scandi-qa",
        "jealk/supervised-da",
    },
}
"""Hub id of a base model that is not in mteb's registry → the data sets with an entry above that it was trained on, by its card."""


def training_tasks(repositories: Iterable[str]) -> set[str]:
    """The names of mteb's tasks whose data a model has seen that was trained on ``repositories``: Hub ids of data sets and of a base model.

    A task is found by its own data set, or in `SAME_DATA`. mteb itself adds the tasks that it lists as similar.
    """
    known, bases = ({key.lower(): value for key, value in table.items()} for table in (SAME_DATA, BASES))
    trained = {repository.lower() for repository in repositories}
    seen = trained | {repository.lower() for base in trained for repository in bases.get(base, ())}
    return set[str]().union(*(table.get(repository, ()) for table in (_tasks_by_data(), known) for repository in seen))


@cache
def _tasks_by_data() -> dict[str, set[str]]:
    """Hub id of a data set in lower case → the tasks of mteb on it; making them all takes a second."""
    found = defaultdict(set)
    for task in mteb.get_tasks(exclude_superseded=False):
        found[task.metadata.dataset["path"].lower()].add(task.metadata.name)
    return found


def model_meta(
    model: SparseEncoder,
    revision: str,
    name: str | None = None,
    languages: Sequence[str] = (),
    base: str | None = None,
    trained_on: Iterable[str] | None = None,
    license: str | None = None,
    trust_remote_code: bool = False,
) -> ModelMeta:
    """mteb's description of a sparse model.

    Args:
        revision: identifies the weights; the commit on the Hub if it is known.
        name: Hub id; None if the model is not published.
        languages: keys of `ISO`.
        base: Hub id of the base model.
        trained_on: as in `training_tasks`; None if not known, which leaves the zero-shot mark open.
        license: left out if mteb does not know it.
    """
    meta = ModelMeta.from_sparse_encoder_model(model)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    known: dict[str, Any] = {
        "name": name or UNPUBLISHED,
        "revision": revision,
        "reference": f"https://huggingface.co/{name}" if name else None,
        "languages": [f"{ISO[language][0]}-Latn" for language in languages] or None,
        "license": license.lower() if license and license.lower() in get_args(Licenses) else None,
        "embed_dim": model.encode_document(["a"]).shape[1],  # a model that has encoded nothing may not know it
        "n_parameters": parameters,
        "n_embedding_parameters": _embedding_parameters(model),
        "memory_usage_mb": round(sum(each.numel() * each.element_size() for each in model.parameters()) / 2**20),
        "use_instructions": any(model.prompts.values()),
        "adapted_from": base,
        "training_datasets": None if trained_on is None else training_tasks(trained_on),
        "loader_kwargs": {"trust_remote_code": True} if trust_remote_code else {},
    }
    return ModelMeta.model_validate(meta.model_dump() | known)


def _embedding_parameters(model: SparseEncoder) -> int | None:
    for module in model.modules():
        if isinstance(module, PreTrainedModel):
            with suppress(NotImplementedError, AttributeError):  # a model's own code need not say which they are
                embeddings: Any = module.get_input_embeddings
                return int(embeddings().weight.numel())
    return None


def rename(source: Path, target: Path, name: str, revision: str, public: bool) -> ModelMeta:
    """Copy the results of the model in ``source`` to ``target``, both for `mteb.ResultCache`, under its published name and commit."""
    [path] = source.glob(f"results/*/*/{META}")
    found = ModelMeta.model_validate_json_resolved(path.read_text(encoding="utf-8"))
    new = {"name": name, "revision": revision, "reference": f"https://huggingface.co/{name}", "open_weights": public}
    meta = found.model_copy(update=new)
    folder = target / "results" / meta.model_name_as_path() / revision
    shutil.copytree(path.parent, folder, dirs_exist_ok=True)
    (folder / META).write_text(json.dumps(meta.to_dict(), indent=4, default=str), encoding="utf-8")
    return meta
