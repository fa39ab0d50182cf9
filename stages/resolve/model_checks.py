"""What the files of models tell before anything runs: of local folders, and of models that were downloaded for other settings.

A model that must be downloaded first is checked by the download stage. When the architecture or model.max_seq_length changes afterwards,
the model stays where it is, and this check is the one that sees whether it still fits.
"""

import json
from collections.abc import Iterator
from pathlib import Path

from stages.config.own_paths import place
from stages.config.schema import ModelEntry, Params
from stages.hub.manifest import read_manifest
from stages.runtime.errors import UserError

ROLES = {"model.base_model": "base", "mining.model": "miner", "mining.cross_encoder": "cross-encoder"}


def check_model_files(params: Params) -> Iterator[str]:
    """Yield the mistake of every model of this run whose files are there and cannot be used."""
    for key, name in params.models_used().items():
        entry, role = params.entry(name), ROLES[key]
        folder = place(entry.path) if entry.path else _downloaded(role, entry)
        if folder is None or not ((folder / "config.json").is_file() or (folder / "modules.json").is_file()):
            continue
        from stages.pretrained.files import Use, require_complete_weights, require_positions, use_as
        from stages.pretrained.own_code import require_allowed_code

        named_by, model = f"models.{name}" if name in params.models else key, entry.repo or entry.path or name
        length = params.model.max_seq_length if role == "base" else None
        use = Use(named_by, model, "", entry.trust_remote_code, length)
        try:
            use = use_as(role, folder, use, params.architecture)
            if entry.path or not entry.trust_remote_code:  # code that was not allowed so far has yet to be downloaded
                require_allowed_code(folder, use)
            if role == "base":
                _require_suitable(params, folder)
            require_complete_weights(folder, use)
            require_positions(folder, use)
        except UserError as error:
            yield str(error)


def _downloaded(role: str, entry: ModelEntry) -> Path | None:
    """The folder in models/ that holds the model of an entry, at its revision; None if it is not there."""
    folder = Path("models") / role
    about = read_manifest(folder)
    return folder if about and (about.get("repo"), about.get("revision")) == (entry.repo, entry.revision) else None


def _require_suitable(params: Params, folder: Path) -> None:
    """Raise UserError if the base in ``folder``, by its configuration, is of the wrong kind for the architecture."""
    from stages.pretrained.files import is_sparse
    from stages.pretrained.norbert import transformer_folder

    base, architecture = params.model.base_model, params.architecture
    names = _architectures(transformer_folder(folder) / "config.json")
    if architecture == "csr" and is_sparse(folder):
        remedy = "name a dense sentence-transformers model or a plain encoder"
        raise UserError(f"model.base_model: csr cannot build on {base}, a sparse model; {remedy}")
    if architecture != "csr" and not any(name.endswith("ForMaskedLM") for name in names):
        found = ", ".join(names) or "no architecture"
        remedy = "name a …ForMaskedLM model, or use csr"
        raise UserError(f"model.base_model: {architecture} needs a masked-LM head, and {base} is {found}; {remedy}")


def _architectures(config: Path) -> list[str]:
    """The architectures that a config.json names; a static model has none."""
    return list(json.loads(config.read_text(encoding="utf-8")).get("architectures") or []) if config.is_file() else []
