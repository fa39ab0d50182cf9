"""The door: refuse what is wrong in params.yaml before anything is deleted, and write what each stage gets to see.

Later stages depend on their own resolved/<stage>.yaml, key by key, so that a value re-runs only the stages that use it.
"""

import os
from collections.abc import Mapping
from typing import Any

from ruamel.yaml import YAML

from stages.checks import check
from stages.errors import UserError, run_stage
from stages.files import atomic_write
from stages.params import ARCHITECTURE_KEYS, PARAMS, RESOLVED, read_params
from stages.schema import Dataset, Location, Params


def main() -> None:
    params = read_params()
    mistakes = list(check(params, os.environ))
    if mistakes:
        raise UserError("\n".join(f"{PARAMS}: {mistake}" for mistake in mistakes))
    yaml = YAML()
    yaml.default_flow_style = False
    for stage, values in resolve(params).items():
        with atomic_write(RESOLVED / f"{stage}.yaml") as temporary, temporary.open("w", encoding="utf-8") as file:
            yaml.dump(values, file)


def resolve(params: Params) -> dict[str, dict[str, Any]]:
    """The effective values of each stage: resolved/<stage>.yaml by the stage's name."""
    model, loss, training = (_of_architecture(params, section) for section in ("model", "loss", "training"))
    made = model.pop("made") if params.model.base_model == "made" else None
    model.pop("made", None)
    datasets = {name: entry for name, entry in params.datasets.items() if entry.chosen(params.profile)}
    sets = {name: entry for name, entry in params.evaluation.sets.items() if entry.chosen(params.profile)}
    remote_code = params.model.base_model in params.model.trust_remote_code
    return {
        "download": _each(params.datasets, datasets, Location.origin),
        "download_eval": _each(params.evaluation.sets, sets, Location.origin),
        "download_mteb": {"tasks": params.evaluation.mteb, "path": params.evaluation.mteb_path},
        "download_base": {"base_model": params.model.base_model, "revision": params.model.revision, "trust_remote_code": remote_code},
        "format": _each(params.datasets, datasets, Dataset.form),
        "mix": {
            "datasets": {name: {"max_rows": entry.max_rows} for name, entry in datasets.items()},
            "evaluation_sets": {name: entry.form() for name, entry in sets.items()},
            "batch_size": params.training.rows_of_a_step(),
            **params.mix.model_dump(),
            "seed": params.seed,
        },
        "make_base": {"made": made} | ({"max_seq_length": model["max_seq_length"], "seed": params.seed} if made else {}),
        "train": {
            "architecture": params.architecture,
            "profile": params.profile,
            "seed": params.seed,
            "model": model,
            "loss": loss,
            "training": training,
            "tracking": params.tracking.model_dump(),
        },
        "evaluate": {
            "sets": {name: entry.form() for name, entry in sets.items()},
            "mteb": params.evaluation.mteb,
            "batch_size": params.evaluation.per_device_eval_batch_size,
            "trust_remote_code": remote_code,
        },
        "push": {
            **params.hub.model_dump(),
            "architecture": params.architecture,
            "languages": sorted({language for entry in datasets.values() for language in entry.spoken()}),
            "datasets": {
                name: {"repo": entry.repo, "revision": entry.revision, "sample": entry.sample is not None}
                for name, entry in datasets.items()
            },
        },
    }


def _of_architecture(params: Params, section: str) -> dict[str, Any]:
    """A section without the keys that only other architectures use, so that these re-run nothing."""
    own = ARCHITECTURE_KEYS[params.architecture].get(section, ())
    foreign = {key for sections in ARCHITECTURE_KEYS.values() for key in sections.get(section, ())} - set(own)
    values: dict[str, Any] = getattr(params, section).model_dump(exclude=foreign)
    return values


def _each(entries: Mapping[str, Any], chosen: Mapping[str, Any], values: Any) -> dict[str, Any]:
    """``values(entry)`` of every chosen entry; of the others only that they are not chosen."""
    return {name: {"chosen": True, **values(entry)} if name in chosen else {"chosen": False} for name, entry in entries.items()}


if __name__ == "__main__":
    run_stage(main)
