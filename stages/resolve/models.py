"""Check the models that params.yaml names: their entries, and the files of those that are on disk.

A model on disk is a local folder, or was downloaded for other settings: if the architecture or model.max_seq_length changes, nothing is
downloaded again, and only this check sees whether the model still fits. The download stage checks what it downloads.
"""

import difflib
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

from stages.config.schema import Evaluation, Params, Teacher
from stages.hub.manifest import read_manifest
from stages.runtime.errors import UserError
from stages.runtime.files import read_json
from stages.runtime.root import place

ROLES = {  # the key of params.yaml that names a model: its folder in models/
    "model.base_model": "base",
    "mining.model": "miner",
    "evaluation.compare_model": "compare",
    "evaluation.dense": "dense",
}
WANTED = {  # in these roles, a masked language model would give vectors that mean little
    "miner": "a dense or sparse sentence-transformers model",
    "compare": "a SparseEncoder",
    "dense": "a dense sentence-transformers model",
    "teacher": "a cross-encoder, or a dense or sparse sentence-transformers model",
}
TEACHER = "mining.teachers."  # begins the keys of teachers, each of which has a folder below models/teachers
MASKED_LM_BASES = (  # of params.yaml; they make no sentence vectors
    "ltg/norbert3-xs",
    "ltg/norbert3-small",
    "ltg/norbert3-base",
    "ltg/norbert3-large",
    "distilbert/distilbert-base-uncased",
    "jhu-clsp/mmBERT-small",
    "jhu-clsp/mmBERT-base",
    "FacebookAI/xlm-roberta-base",
)


def check_models(params: Params) -> Iterator[str]:
    """Yield every mistake in `models` and in the keys that name a model."""
    for name, entry in params.models.items():
        if bool(entry.repo) == bool(entry.path):
            yield f"models.{name}: must have either repo (with revision) or path; give one of them"
        if name == "made":
            yield "models.made: is reserved for the model made from the training texts; choose another name"
        if name == Teacher.BM25:
            yield f"models.{name}: is reserved, as mining.teachers: {name} means the stemmed BM25; choose another name"
        if name == Evaluation.NO_MODEL:
            yield f"models.{name}: is reserved, as evaluation.dense: {name} means no model; choose another name"
    base = params.model.base_model
    if params.architecture == "csr" and params.entry(base).repo in MASKED_LM_BASES:
        yield (
            f"model.base_model: csr cannot build on {base}, a masked language model that makes no sentence vectors; "
            "name a dense sentence-transformers model"
        )
    for key, name in params.models_used().items():
        entry, known, role = params.entry(name), name in params.models, ROLES.get(key, "teacher")
        if role in WANTED and entry.repo in MASKED_LM_BASES:
            yield f"{key}: {name} is a masked language model, which makes no sentence vectors; name {WANTED[role]}"
        downloaded = Path("models") / place_of(params, key)
        folder = place(entry.path) if entry.path else downloaded
        if (folder / "config.json").is_file() or (folder / "modules.json").is_file():
            about = read_manifest(downloaded) or {}
            if entry.path or (about.get("repo"), about.get("revision")) == (entry.repo, entry.revision):
                yield from _check_files(params, key, name, folder)
        elif entry.path and folder.is_dir():
            given_by = f"models.{name}.path" if known else key
            yield f"{given_by}: {entry.path} holds no model (no config.json); name a folder that transformers can load"
        elif entry.path and known:
            yield f"models.{name}.path: {entry.path} is not a folder; correct the path"
        elif entry.path:
            yield f"{key}: {name} is neither an entry of models nor a folder; {_remedy(params, key, name)}"


def place_of(params: Params, key: str) -> str:
    """The folder below models/ of the model that ``key`` names."""
    return ROLES.get(key) or f"teachers/{teachers(params)[key]}"


def teachers(params: Params) -> dict[str, str]:
    """The folder of each teacher, by its key: its name in `models`, or of a local folder a digest of the path."""
    named = {key: model for key, model in params.models_used().items() if key.startswith(TEACHER)}
    return {key: model if model in params.models else f"local-{sha256(model.encode()).hexdigest()[:8]}" for key, model in named.items()}


def _remedy(params: Params, key: str, model: str) -> str:
    """What to write instead of an unknown model name."""
    if same := [name for name, entry in params.models.items() if entry.repo == model]:
        return f"write {same[0]}, its name there"
    if close := difflib.get_close_matches(model, params.models, n=1):
        return f"did you mean {close[0]}?"
    if model.count("/") == 1 and model[0] not in "./~":
        return f"give it an entry, {model.partition('/')[2]}: {{repo: {model}}}, run `make pin`, and write that name here"
    names = [*params.models, *(["made"] if key == "model.base_model" else [Teacher.BM25] if key.startswith(TEACHER) else [])]
    return f"use one of {', '.join(names)}, or a folder that exists"


def _check_files(params: Params, key: str, name: str, folder: Path) -> Iterator[str]:
    from stages.pretrained.files import Use, require_complete_weights, require_positions, use_as
    from stages.pretrained.own_code import require_allowed_code

    entry, role = params.entry(name), ROLES.get(key, "teacher")
    length = params.model.max_seq_length if role == "base" else None
    named_by = f"models.{name}" if name in params.models else key
    use = Use(named_by, entry.repo or entry.path or name, "", entry.trust_remote_code, length)
    try:
        use = use_as(role, folder, use, params.architecture)
        if entry.path or not entry.trust_remote_code:  # code is downloaded only once it is allowed
            require_allowed_code(folder, use)
        if role == "base":
            _require_suitable(params, folder)
        require_complete_weights(folder, use)
        require_positions(folder, use)
        if role in ("dense", "miner") or (role == "base" and params.architecture == "csr"):
            _require_sentence_vectors(key, name, folder, WANTED.get(role, WANTED["dense"]))
    except UserError as error:
        yield str(error)


def _require_sentence_vectors(key: str, name: str, folder: Path, wanted: str) -> None:
    """Raise UserError if ``folder`` holds a plain masked language model; a plain encoder gets mean pooling."""
    names = read_json(folder / "config.json").get("architectures") or [] if not (folder / "modules.json").exists() else []
    if any(each.endswith("ForMaskedLM") for each in names):
        raise UserError(f"{key}: {name} is a masked language model ({names[0]}), which makes no sentence vectors; name {wanted}")


def _require_suitable(params: Params, folder: Path) -> None:
    """Raise UserError if the base in ``folder``, by its configuration, is of the wrong kind for the architecture."""
    from stages.pretrained.files import is_sparse
    from stages.pretrained.norbert import transformer_folder

    base, architecture = params.model.base_model, params.architecture
    names = read_json(transformer_folder(folder) / "config.json").get("architectures") or []
    if architecture == "csr" and is_sparse(folder):
        remedy = "name a dense sentence-transformers model or a plain encoder"
        raise UserError(f"model.base_model: csr cannot build on {base}, a sparse model; {remedy}")
    if architecture != "csr" and not any(name.endswith("ForMaskedLM") for name in names):
        found = ", ".join(names) or "no architecture"
        raise UserError(
            f"model.base_model: {architecture} needs a masked-LM head, and {base} is {found}; name a …ForMaskedLM model, or use csr"
        )
