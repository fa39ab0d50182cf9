"""Refuse mistakes in params.yaml before anything is deleted, and write the settings of each stage to resolved/<stage>.yaml.

Each stage depends on its own file, so that a value re-runs only the stages that use it. No stage depends on resolved/running/, whose values
change no result.
"""

import os
from collections.abc import Mapping
from io import StringIO
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from stages.config.own_paths import digests, own_paths
from stages.config.params import ARCHITECTURE_KEYS, PARAMS, RESOLVED, read_yaml, validated
from stages.config.schema import Dataset, Location, ModelEntry, Params, Section, Training
from stages.config.settings import Pruning
from stages.resolve.checks import check
from stages.resolve.mining import mining_settings
from stages.resolve.models import ROLES, teachers
from stages.resolve.undo import advice
from stages.runtime.errors import UserError, run_stage
from stages.runtime.files import atomic_write


def main() -> str:
    try:
        values = read_yaml()
        params = validated(values)
        if mistakes := list(check(params, os.environ)):
            raise UserError("\n".join(f"{PARAMS}: {mistake}" for mistake in mistakes))
    except UserError as error:
        raise UserError("\n".join(filter(None, [str(error), advice(str(error), PARAMS)]))) from error
    write(resolve(params, digests(own_paths(params))) | {"overrides": overrides(values) | {"architecture": params.architecture}}, RESOLVED)
    return f"params.yaml is valid; profile {params.profile}, {params.architecture}"


def write(resolved: Mapping[str, Mapping[str, Any]], folder: Path) -> None:
    """Make ``folder`` hold a file for each entry and nothing else. A file whose content stays is not touched."""
    yaml = YAML()
    yaml.default_flow_style = False
    files = {folder / f"{name}.yaml": values for name, values in resolved.items()}
    for stale in set(folder.rglob("*.yaml")) - files.keys():
        stale.unlink()
    for path, values in files.items():
        yaml.dump(values, text := StringIO())
        if not path.is_file() or path.read_text(encoding="utf-8") != text.getvalue():
            with atomic_write(path) as temporary:
                temporary.write_text(text.getvalue(), encoding="utf-8")


def resolve(params: Params, digests: Mapping[str, str] = {}) -> dict[str, dict[str, Any]]:
    """The effective values of each stage, by the file in resolved/ that holds them.

    Args:
        digests: of the contents of `own_paths`, by key: a change there re-runs what depends on it.
    """
    model, loss, training = (_of_architecture(params, section) for section in ("model", "loss", "training"))
    loss["hard_negatives"] = params.hard_negatives()
    made = model.pop("made") if params.model.base_model == "made" else None
    model.pop("made", None)
    pruning = {key: model.pop(key) for key in Pruning.model_fields}  # training does not use it
    datasets, sets = params.used(params.datasets), params.used(params.evaluation.sets)
    languages = sorted({language for entry in datasets.values() for language in entry.spoken()})
    validation = _validation(params, languages)
    for key in VALIDATION:
        training.pop(key)
    running = {key: training.pop(key) for key in sorted(Training.RUNNING)}
    base = params.entry(params.model.base_model)
    model |= base.model_dump(include={"repo", "revision", "trust_remote_code"})
    return {
        "download": _origins("datasets", datasets, digests),
        "download_eval": _origins("evaluation.sets", sets, digests),
        "download_mteb": {
            "tasks": params.evaluation.mteb,
            "languages": languages if params.evaluation.mteb else [],
            "path": params.evaluation.mteb_path,
            "digests": [digest for key, digest in digests.items() if key.startswith("evaluation.mteb_path")],
        },
        **{f"download_models/{name}": _model_source(params, key) | _digest(key, digests) for key, name in ROLES.items()},
        "download_models/teachers": {name: _model_source(params, key) | _digest(key, digests) for key, name in teachers(params).items()},
        "running/download_models/base": {"architecture": params.architecture, "max_seq_length": params.model.max_seq_length},
        "format": {name: entry.form() for name, entry in datasets.items()},
        "mine": mining_settings(params, [name for name in datasets if params.mining.works_on(name)]),
        "mix": {
            "datasets": {name: {"max_rows": entry.max_rows} for name, entry in datasets.items()},
            "evaluation_sets": {name: entry.form() for name, entry in sets.items()},
            "mteb": params.evaluation.mteb,
            "batch_size": params.training.rows_of_a_step(),
            **params.mix.model_dump(),
            "scored": params.loss.distillation != "none",
            "contrasted": bool(params.loss.contrast),
            "own_negatives": loss["hard_negatives"] == "own",
            "seed": params.seed,
        },
        "make_base": {
            "made": made,
            "max_seq_length": model["max_seq_length"] if made else None,
            "seed": params.seed if made else None,
            "dense": params.architecture == "csr" if made else None,
            "trimmed": _trimmed(params),
        },
        "validation": {
            "dev": [*datasets] if validation and "dev" in validation["eval_sets"] else [],
            "sets": {name: sets[name].form() for name in validation["eval_sets"] if name in sets} if validation else {},
        },
        "train": {
            "architecture": params.architecture,
            "seed": params.seed,
            "model": model,
            "loss": loss,
            "training": training,
            "validation": validation,
        },
        "running/train": {
            "profile": params.profile,
            "running": running,
            "upload": {"model_id": params.hub.model_id} if params.hub.push and params.hub.strategy == "checkpoint" else None,
            "tracking": params.tracking.model_dump(),
        },
        "evaluate": {
            "sets": {name: entry.form() for name, entry in sets.items()},
            "mteb": params.evaluation.mteb,
            "active_dims": params.evaluation.active_dims if params.architecture == "csr" else [],
            "batch_size": params.evaluation.per_device_eval_batch_size,
            "pruning": pruning,
            "trust_remote_code": base.trust_remote_code,
            "about": _about(params, languages) if params.evaluation.mteb else None,
            "bm25": params.evaluation.bm25.model_dump(exclude_none=True),
            "dense": _loading(params, "evaluation.dense"),
            **_compared(params),
        },
        "running/evaluate": {"device": params.training.device, "model_id": params.hub.model_id, "license": params.hub.license},
        "push": {
            **params.hub.model_dump(),
            "architecture": params.architecture,
            "languages": languages,
            "datasets": {name: _provenance(entry) for name, entry in datasets.items()},
            "pruning": pruning,
        },
    }


def _origins(table: str, entries: Mapping[str, Location], digests: Mapping[str, str]) -> dict[str, Any]:
    """The source of each entry of a table, for the download stage."""
    return {name: entry.origin() | _digest(f"{table}.{name}.path", digests) for name, entry in entries.items()}


def _digest(key: str, digests: Mapping[str, str]) -> dict[str, str]:
    return {"digest": digests[key]} if key in digests else {}


def _about(params: Params, languages: list[str]) -> dict[str, Any]:
    """What MTEB's results say of the model: `settings.About`."""
    base = [params.entry(params.model.base_model)] if params.model.base_model != "made" else []
    entries: list[ModelEntry | Dataset] = [*base, *params.used(params.datasets).values()]
    local = any(entry.path for entry in entries)  # of unknown origin
    trained_on = None if local else sorted({entry.repo for entry in entries if entry.repo})
    return {"languages": languages, "base": base[0].repo if base else None, "trained_on": trained_on}


def _provenance(entry: Dataset) -> dict[str, Any]:
    """The source of a training set, and its licence if params.yaml gives one."""
    origin = {"repo": entry.repo, "revision": entry.revision, "sample": entry.sample is not None}
    return origin | ({"license": entry.license} if entry.license else {})


def overrides(values: Mapping[str, Any], section: type[Section] = Params) -> dict[str, Any]:
    """The values in params.yaml that replace a preset or default, without its tables of entries: the columns of `dvc exp show`."""
    found: dict[str, Any] = {}
    for name, field in section.model_fields.items():
        value, kind = values.get(name), field.annotation
        if isinstance(value, Mapping):
            if isinstance(kind, type) and issubclass(kind, Section) and (below := overrides(value, kind)):
                found[name] = below
        elif value is not None and value != field.default and (section is not Params or name == "seed"):
            found[name] = value
    return found


VALIDATION = ("eval_steps", "eval_sets", "metric_for_best_model", "early_stopping_patience")


def _validation(params: Params, languages: list[str]) -> dict[str, Any] | None:
    """How the best checkpoint is chosen; None if training.eval_steps is null, so that none of these values re-runs anything."""
    if params.training.eval_steps is None:
        return None
    batch_size = params.evaluation.per_device_eval_batch_size
    return {**params.training.model_dump(include=set(VALIDATION)), "per_device_eval_batch_size": batch_size, "languages": languages}


def _of_architecture(params: Params, section: str) -> dict[str, Any]:
    """A section without the keys that only other architectures use, so that those re-run nothing."""
    own = ARCHITECTURE_KEYS[params.architecture].get(section, ())
    foreign = {key for sections in ARCHITECTURE_KEYS.values() for key in sections.get(section, ())} - set(own)
    values: dict[str, Any] = getattr(params, section).model_dump(exclude=foreign)
    return values


def _model_source(params: Params, key: str) -> dict[str, Any]:
    """The source of a model, for the download stage. ``key`` of params.yaml names the model."""
    name = params.models_used().get(key)
    if name is None:
        return {"chosen": False}
    entry = params.entry(name)
    named_by = f"models.{name}" if name in params.models else key
    return {"chosen": True, "key": named_by, **entry.model_dump(include={"repo", "revision", "path", "trust_remote_code"})}


def _trimmed(params: Params) -> dict[str, Any] | None:
    """How to cut the base model's vocabulary; None if it stays whole."""
    model = params.model
    if model.trim_vocabulary is None:
        return None
    base = params.entry(model.base_model)
    name = {"name": base.repo or model.base_model, "trust_remote_code": base.trust_remote_code}
    return name | {"smallest_count": model.trim_vocabulary, "prompts": model.prompts.given()}


def _compared(params: Params) -> dict[str, Any]:
    """The settings of evaluation.compare_model, if it is set."""
    name = params.evaluation.compare_model
    return {"compare": {"trust_remote_code": params.entry(name).trust_remote_code}} if name else {}


def _loading(params: Params, key: str) -> dict[str, Any] | None:
    """How to load the dense model that ``key`` of params.yaml names; None if it names none."""
    name = params.models_used().get(key)
    return params.entry(name).model_dump(include={"trust_remote_code", "prompts"}) if name else None


if __name__ == "__main__":
    run_stage(main)
