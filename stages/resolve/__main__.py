"""The door: refuse what is wrong in params.yaml before anything is deleted, and write what each stage gets to see.

Later stages depend on their own resolved/<stage>.yaml, key by key, so that a value re-runs only the stages that use it.
"""

import os
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from ruamel.yaml import YAML

from stages.config.own_paths import digests, own_paths
from stages.config.params import ARCHITECTURE_KEYS, PARAMS, RESOLVED, read_params
from stages.config.schema import Dataset, Location, Params, Training
from stages.resolve.checks import check
from stages.resolve.undo import advice
from stages.runtime.errors import UserError, run_stage
from stages.runtime.files import atomic_write


def main() -> None:
    try:
        params = read_params()
        if mistakes := list(check(params, os.environ)):
            raise UserError("\n".join(f"{PARAMS}: {mistake}" for mistake in mistakes))
    except UserError as error:
        raise UserError("\n".join(filter(None, [str(error), advice(str(error), PARAMS)]))) from error
    yaml = YAML()
    yaml.default_flow_style = False
    for stage, values in resolve(params, digests(own_paths(params))).items():
        with atomic_write(RESOLVED / f"{stage}.yaml") as temporary, temporary.open("w", encoding="utf-8") as file:
            yaml.dump(values, file)


def resolve(params: Params, digests: Mapping[str, str] = MappingProxyType({})) -> dict[str, dict[str, Any]]:
    """The effective values of each stage: resolved/<stage>.yaml by the stage's name.

    Args:
        digests: of the contents of `own_paths`, by key: a change there re-runs what depends on it.
    """
    model, loss, training = (_of_architecture(params, section) for section in ("model", "loss", "training"))
    made = model.pop("made") if params.model.base_model == "made" else None
    model.pop("made", None)
    datasets = {name: entry for name, entry in params.datasets.items() if entry.chosen(params.profile)}
    sets = {name: entry for name, entry in params.evaluation.sets.items() if entry.chosen(params.profile)}
    languages = sorted({language for entry in datasets.values() for language in entry.spoken()})
    validation = _validation(params, languages)
    for key in VALIDATION:
        training.pop(key)
    running = {key: training.pop(key) for key in sorted(Training.RUNNING)}
    base = params.entry(params.model.base_model)
    model |= base.model_dump(include={"repo", "revision", "trust_remote_code"})
    return {
        "download": _sources("datasets", params.datasets, datasets, digests),
        "download_eval": _sources("evaluation.sets", params.evaluation.sets, sets, digests),
        "download_mteb": {
            "tasks": params.evaluation.mteb,
            "path": params.evaluation.mteb_path,
            "digests": [digest for key, digest in digests.items() if key.startswith("evaluation.mteb_path")],
        },
        "download_models": {
            **{name: _model_source(params, key) | _digest(key, digests) for name, key in MODELS.items()},
            "architecture": params.architecture,  # not watched by dvc, as max_seq_length: what is there is not downloaded again
            "max_seq_length": params.model.max_seq_length,
        },
        "format": _each(params.datasets, datasets, Dataset.form),
        "mine": {name: _mining(params, name in datasets and params.mining.works_on(name)) for name in params.datasets},
        "mix": {
            "datasets": {name: {"max_rows": entry.max_rows} for name, entry in datasets.items()},
            "evaluation_sets": {name: entry.form() for name, entry in sets.items()},
            "mteb": params.evaluation.mteb,
            "batch_size": params.training.rows_of_a_step(),
            **params.mix.model_dump(),
            "scored": params.loss.distillation != "none",
            "seed": params.seed,
        },
        "make_base": {
            "made": made,
            "max_seq_length": model["max_seq_length"] if made else None,
            "seed": params.seed if made else None,
            "dense": params.architecture == "csr" if made else None,
        },
        "validation": {
            "dev": [*datasets] if validation and "dev" in validation["eval_sets"] else [],
            "sets": {name: sets[name].form() for name in validation["eval_sets"] if name in sets} if validation else {},
        },
        "train": {
            "architecture": params.architecture,
            "profile": params.profile,
            "seed": params.seed,
            "model": model,
            "loss": loss,
            "training": training,
            "running": running,
            "validation": validation,
            "upload": {"model_id": params.hub.model_id} if params.hub.push and params.hub.strategy == "checkpoint" else None,
            "tracking": params.tracking.model_dump(),
        },
        "evaluate": {
            "sets": {name: entry.form() for name, entry in sets.items()},
            "mteb": params.evaluation.mteb,
            "active_dims": params.evaluation.active_dims if params.architecture == "csr" else [],
            "batch_size": params.evaluation.per_device_eval_batch_size,
            "trust_remote_code": base.trust_remote_code,
            "device": params.training.device,
        },
        "push": {
            **params.hub.model_dump(),
            "architecture": params.architecture,
            "languages": languages,
            "datasets": {name: _provenance(entry) for name, entry in datasets.items()},
        },
    }


def _sources(table: str, entries: Mapping[str, Location], chosen: Mapping[str, Location], digests: Mapping[str, str]) -> dict[str, Any]:
    """Where each entry of a table lies, as the download stage sees it."""
    sources: dict[str, Any] = _each(entries, chosen, lambda entry: entry.origin())
    return {name: source | _digest(f"{table}.{name}.path", digests) for name, source in sources.items()}


def _digest(key: str, digests: Mapping[str, str]) -> dict[str, str]:
    return {"digest": digests[key]} if key in digests else {}


def _provenance(entry: Dataset) -> dict[str, Any]:
    """Where a training set came from, and its licence where params.yaml gives one."""
    origin = {"repo": entry.repo, "revision": entry.revision, "sample": entry.sample is not None}
    return origin | ({"license": entry.license} if entry.license else {})


VALIDATION = ("eval_steps", "eval_sets", "metric_for_best_model", "early_stopping_patience")


def _validation(params: Params, languages: list[str]) -> dict[str, Any] | None:
    """How the best checkpoint is chosen; None where it is not, so that then none of these values re-runs anything."""
    if params.training.eval_steps is None:
        return None
    batch_size = params.evaluation.per_device_eval_batch_size
    return {**params.training.model_dump(include=set(VALIDATION)), "per_device_eval_batch_size": batch_size, "languages": languages}


def _of_architecture(params: Params, section: str) -> dict[str, Any]:
    """A section without the keys that only other architectures use, so that these re-run nothing."""
    own = ARCHITECTURE_KEYS[params.architecture].get(section, ())
    foreign = {key for sections in ARCHITECTURE_KEYS.values() for key in sections.get(section, ())} - set(own)
    values: dict[str, Any] = getattr(params, section).model_dump(exclude=foreign)
    return values


MODELS = {"base": "model.base_model", "miner": "mining.model", "cross-encoder": "mining.cross_encoder"}
"""The folders of models/ that are downloaded, and the key of params.yaml that names the model of each."""


def _model_source(params: Params, key: str) -> dict[str, Any]:
    """Where a model comes from, as the download stage sees it; ``key`` is what names it in messages."""
    name = params.models_used().get(key)
    if name is None:
        return {"chosen": False}
    entry = params.entry(name)
    named_by = f"models.{name}" if name in params.models else key
    return {"chosen": True, "key": named_by, **entry.model_dump(include={"repo", "revision", "path", "trust_remote_code"})}


def _mining(params: Params, chosen: bool) -> dict[str, Any]:
    """What mining does for one set, with what its method uses."""
    if not chosen:
        return {"chosen": False}
    mining = params.mining
    values: dict[str, Any] = {"chosen": True, "method": mining.method}
    if mining.method != "none":
        values |= mining.model_dump(include={"negatives", "relative_margin", "range_min", "range_max"})
    if mining.method == "model":
        values |= {"miner": {"trust_remote_code": params.entry(mining.model or "").trust_remote_code}}
    if mining.cross_encoder:
        values |= {"cross_encoder": {"trust_remote_code": params.entry(mining.cross_encoder).trust_remote_code}}
    return values


def _each(entries: Mapping[str, Any], chosen: Mapping[str, Any], values: Any) -> dict[str, Any]:
    """``values(entry)`` of every chosen entry; of the others only that they are not chosen."""
    return {name: {"chosen": True, **values(entry)} if name in chosen else {"chosen": False} for name, entry in entries.items()}


if __name__ == "__main__":
    run_stage(main)
