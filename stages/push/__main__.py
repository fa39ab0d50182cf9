"""Publish models/final with its card if params.yaml sets hub.push, and write a receipt: metrics/push.json.

The receipt survives the next run of the stage, so that an unchanged model is not pushed twice.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stages.config.params import load_resolved
from stages.config.schema import Training
from stages.config.settings import Provenance, PushSettings, TrainSettings
from stages.runtime.errors import UserError, run_stage
from stages.runtime.files import write_json

if TYPE_CHECKING:
    from stages.retrieval.treatment import Treatment

FINAL, RECEIPT = Path("models/final"), Path("metrics/push.json")
FORMATTED, BASE, TEACHERS = Path("data/formatted"), Path("models/base"), Path("models/teachers")
EVALUATION, MIX = Path("metrics/evaluation.json"), Path("metrics/mix.json")
LAUNCH: dict[str, Any] = {"tracking": True, "upload": True, "training": {*Training.RUNNING, "device", "num_processes", "num_threads"}}
"""Settings of resolved/train.yaml that the card leaves out: how the run was launched."""


def main() -> str:
    settings = load_resolved("push", PushSettings)
    receipt = json.loads(RECEIPT.read_text(encoding="utf-8")) if RECEIPT.exists() else None
    if not settings.push:
        if receipt is None:
            write_json(RECEIPT, {"repo_id": None, "fingerprint": None, "commit": None})
        return "nothing pushed, because hub.push is false"
    if os.environ.get("DVC_EXP_NAME"):
        raise UserError("hub.push: is true inside `dvc exp run`; `dvc exp apply` the winner and push it with `dvc repro`")

    from stages.hub.publish import fingerprint, needs_push, publish
    from stages.retrieval.treatment import Treatment

    if settings.model_id is None:
        raise UserError("hub.model_id: must be set if hub.push is true; set it to you/your-model")
    treatment = Treatment.pruned(FINAL, settings.pruning)
    more = treatment.files()
    current = fingerprint(FINAL, more)
    if not needs_push(receipt, current, settings.model_id):
        return f"nothing to push, because {settings.model_id} already has this model"
    if not settings.allow_non_commercial:
        refuse_non_commercial(settings.datasets, FORMATTED)
    published = publish(FINAL, card(settings, settings.model_id, treatment), settings.model_id, more=more, private=settings.private)
    write_json(RECEIPT, {"repo_id": settings.model_id, "fingerprint": current, "commit": published.oid})
    return f"{published.repo_url}, commit {published.oid}"


def refuse_non_commercial(datasets: Mapping[str, Provenance], formatted: Path) -> None:
    """Raise `UserError` if the licence of a training set, the base model or a teacher forbids commercial use."""
    from stages.hub.manifest import forbids_commercial_use, read_licence

    licences = {f"datasets.{name}": licence_of(origin, formatted / name) for name, origin in datasets.items()}
    licences["model.base_model"] = read_licence(BASE)
    licences |= {f"mining.teachers, {folder.name}": read_licence(folder) for folder in sorted(TEACHERS.glob("*/"))}
    if found := {key: licence for key, licence in licences.items() if forbids_commercial_use(licence)}:
        names = ", ".join(f"{key} ({licence})" for key, licence in found.items())
        raise UserError(
            f"hub.allow_non_commercial: is false, and these licences forbid commercial use: {names}; "
            "set it to true to publish the model anyway, or train without them (profile: none)"
        )


def licence_of(origin: Provenance, folder: Path) -> str | None:
    """The licence of a training set: that of params.yaml, or else of the manifest in its ``folder``."""
    from stages.hub.manifest import read_licence

    return origin.license.lower() if origin.license else read_licence(folder)


def card(settings: PushSettings, model_id: str, treatment: "Treatment") -> str:
    """The model card, from the effective values and the scores of this run."""
    from stages.push.card import LOCAL, SAMPLE, TrainingSet, model_card
    from stages.tracking.git import git_state

    trained = load_resolved("train", TrainSettings)
    model = trained.model
    sources = json.loads(MIX.read_text(encoding="utf-8"))["sources"]
    state = git_state()
    return model_card(
        model_id=model_id,
        architecture=settings.architecture,
        base_model=SAMPLE if model.base_model == "made" else model.repo or model.base_model,
        base_revision=model.revision,
        languages=settings.languages,
        training_sets=[
            TrainingSet(
                name,
                SAMPLE if origin.sample else origin.repo or LOCAL,
                origin.revision,
                license=licence_of(origin, FORMATTED / name),
                rows=sources.get(name, {}).get("used"),
            )
            for name, origin in settings.datasets.items()
        ],
        params=trained.model_dump(exclude=LAUNCH, exclude_unset=True, exclude_none=True),
        evaluation=json.loads(EVALUATION.read_text(encoding="utf-8")),
        commit=state.get("git_commit"),
        dirty=state.get("git_dirty") == "true",
        trust_remote_code=model.trust_remote_code,
        license=settings.license,
        treatment=treatment,
    )


if __name__ == "__main__":
    run_stage(main)
