"""The contents of resolved/train.yaml, resolved/evaluate.yaml and resolved/push.yaml, which `stages.resolve` writes."""

from typing import Any

from pydantic import model_validator

from stages.config.fields import Count
from stages.config.schema import (
    BM25,
    Architecture,
    EvaluationKind,
    Hub,
    Language,
    Loss,
    Model,
    Profile,
    Prompts,
    Revision,
    Section,
    Tracking,
    Training,
)


class ResolvedModel(Model):
    """The section ``model`` together with the base model's entry in ``models``."""

    repo: str | None = None
    revision: Revision | None = None
    trust_remote_code: bool = False


class ValidationSettings(Section):
    """How the best checkpoint is chosen, if training.eval_steps is set."""

    eval_steps: Count
    eval_sets: list[str]
    metric_for_best_model: str | None
    early_stopping_patience: Count | None
    per_device_eval_batch_size: Count
    languages: list[str]
    """Of the training sets, if params.yaml gives them."""


class Upload(Section):
    """Where checkpoints are uploaded during training, if hub.strategy is checkpoint."""

    model_id: str


class TrainSettings(Section):
    """resolved/train.yaml merged with resolved/running/train.yaml, whose section ``running`` is part of ``training``."""

    architecture: Architecture
    profile: Profile
    seed: int
    model: ResolvedModel
    loss: Loss
    training: Training
    tracking: Tracking
    validation: ValidationSettings | None
    upload: Upload | None

    @model_validator(mode="before")
    @classmethod
    def _one_training(cls, values: dict[str, Any]) -> dict[str, Any]:
        return {key: values[key] for key in values if key != "running"} | {"training": values["training"] | values.get("running", {})}


class Pruning(Section):
    """How many of a vector's largest weights are kept; null: all."""

    max_document_dims: Count | None = None
    max_query_dims: Count | None = None


class ScoredSet(Section):
    """How to read one evaluation set."""

    kind: EvaluationKind
    split: str | None
    language: Language | None
    unknown_ids: float | None = None
    locale: str | None = None
    max_tokens: int | None = None
    max_queries: int | None = None


class Compared(Section):
    """The model of evaluation.compare_model."""

    trust_remote_code: bool


class About(Section):
    """What MTEB's results say of the model.

    Attributes:
        base: Hub id of the base model; None if it is local or made.
        trained_on: Hub ids of the training sets and the base model; None if one of them is local.
    """

    languages: list[Language]
    base: str | None
    trained_on: list[str] | None


class DenseSettings(Section):
    """How to load evaluation.dense."""

    trust_remote_code: bool
    prompts: Prompts


class EvaluateSettings(Section):
    """resolved/evaluate.yaml merged with resolved/running/evaluate.yaml; ``about`` is None if there are no MTEB tasks."""

    batch_size: int
    trust_remote_code: bool
    device: str
    mteb: list[str]
    active_dims: list[int]
    pruning: Pruning = Pruning()
    dense: DenseSettings | None = None
    bm25: BM25 = BM25()
    sets: dict[str, ScoredSet]
    about: About | None = None
    model_id: str | None = None
    license: str | None = None
    compare: Compared | None = None


class Provenance(Section):
    """Where a training set came from; ``license`` is the one in params.yaml, which takes precedence over the files' own."""

    repo: str | None
    revision: str | None
    sample: bool
    license: str | None = None


class PushSettings(Hub):
    """resolved/push.yaml."""

    architecture: Architecture
    languages: list[str]
    datasets: dict[str, Provenance]
    pruning: Pruning = Pruning()
