"""The keys of params.yaml with their types, limits and defaults: one frozen pydantic model for each section, without silent conversions."""

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeAlias, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from stages.config.fields import Batch, Count, HubId, LocalPath, Names, Number, Processes, Weight, Word, distinct, local_path
from stages.config.kinds import EVALUATION, EVALUATION_OPTIONS, TRAINING

Architecture = Literal["splade", "inference-free-splade", "csr"]
Profile = Literal["sample", "own", "nordic", "ecommerce"]
UsedBy = Literal[Profile, "none"]
DatasetKind: TypeAlias = Literal[*TRAINING]  # type: ignore[valid-type]
EvaluationKind: TypeAlias = Literal[*EVALUATION]  # type: ignore[valid-type]


def _norwegian_is_bokmal(value: Any) -> Any:
    return "nb" if value == "no" else value


def _revision(value: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{40}", value):
        raise ValueError("must be a commit's 40 hexadecimal digits, not a branch or tag; `make pin` looks it up")
    return value


def _name(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", value):
        raise ValueError("must be a name of at most 64 letters, digits, '-' and '_', the first a letter or digit")
    return value


def _free_name(value: str) -> str:
    if value in RESERVED:
        raise ValueError(f"must be another name, as this one means {RESERVED[value]}")
    return value


def _resume(value: Any) -> Any:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.strip():
        return local_path(value)
    raise ValueError("must be true, false or the path of a checkpoint-N")


Language = Annotated[Literal["nb", "nn", "da", "sv", "en"], BeforeValidator(_norwegian_is_bokmal)]
Revision = Annotated[str, AfterValidator(_revision)]
Branch = Annotated[str, Field(pattern=r"^\S+$")]
Name = Annotated[str, AfterValidator(_name)]
SetName = Annotated[Name, AfterValidator(_free_name)]
RESERVED = {  # in metrics/evaluation.json, in the log of a training run, or in training.eval_sets
    "mean": "the mean over all sets",
    "NanoBEIR_mean_dot": "the mean over NanoBEIR's sets",
    "dev": "the held-out rows of the training sets",
}
Languages = Annotated[list[Language], Field(min_length=1), AfterValidator(distinct)]
Rate = Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)]
Resume = Annotated[bool | str, BeforeValidator(_resume)]
PRESET: Any = None
"""Default of keys that only some architectures use. For these, `params.validated` requires a value."""


class Section(BaseModel):
    """A mapping of params.yaml: unknown keys are refused, values are not converted, and nothing changes after reading."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _null_means_default(cls, values: Any) -> Any:
        """Drop nulls of fields that have a default, such as keys that only another architecture uses."""
        if not isinstance(values, dict):
            return values
        fields = cls.model_fields
        return {k: v for k, v in values.items() if v is not None or k not in fields or fields[k].is_required()}


class Made(Section):
    """Size of the base model that is made from the training texts."""

    vocab_size: Annotated[int, Field(ge=500, le=500_000)] = 8000
    hidden_size: Annotated[int, Field(gt=0, le=4096)] = 128
    num_hidden_layers: Annotated[int, Field(gt=0, le=100)] = 2
    num_attention_heads: Annotated[int, Field(gt=0, le=4096)] = 4


class Prompts(Section):
    """Texts put before every query and document, in training, in evaluation and in the saved model."""

    query: str | None = None
    document: str | None = None

    def given(self) -> dict[str, str]:
        """The prompts that are set, by "query" or "document"."""
        return self.model_dump(exclude_none=True)


class Model(Section):
    """The base model and the size of the encoder that is built on it."""

    base_model: LocalPath
    max_seq_length: Annotated[int, Field(ge=8, le=131_072)]
    long_documents: Literal["cut", "max_vector", "max_score"] = "max_score"
    window: Annotated[int, Field(ge=8, le=131_072)] | None = None
    window_overlap: Number | None = None
    prompts: Prompts = Prompts()
    max_document_dims: Count | None = None
    max_query_dims: Count | None = None
    attn_implementation: Literal["eager", "sdpa", "flash_attention_2"] | None = None
    made: Made = Made()
    trim_vocabulary: Count | None = None
    hidden_dim: Annotated[int, Field(gt=0, le=2**20)] | None = None
    k: Count = PRESET
    k_aux: Count = PRESET
    whitening: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] = PRESET

    @property
    def from_make_base(self) -> bool:
        """Whether training starts from what make-base wrote: a base built from the training texts or trimmed to them."""
        return self.base_model == "made" or self.trim_vocabulary is not None

    @property
    def overlap(self) -> int:
        """Tokens that a window shares with the one before it, at most: ``window_overlap``, or a fifth of a window."""
        return (self.window or self.max_seq_length) // 5 if self.window_overlap is None else self.window_overlap


class Loss(Section):
    """The terms of the loss and their weights."""

    query_regularizer_weight: Weight = PRESET
    document_regularizer_weight: Weight = PRESET
    regularizer: Literal["flops", "l1", "l1_flops", "df_flops"] = "flops"
    target_active_dims: Number | None = None
    query_target_active_dims: Number | None = None
    auxiliary_weight: Weight = PRESET
    contrastive_weight: Weight | None = None
    similarity_weight: Weight = PRESET
    nested_k: Annotated[list[Count], Field(min_length=1), AfterValidator(distinct)] = PRESET
    distillation: Literal["none", "margin_mse", "kl"] = "none"
    distillation_weight: Weight = 1.0
    distillation_temperature: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0
    hard_negatives: Literal["batch", "own"] | None = None

    @property
    def contrast(self) -> float:
        """The weight of the contrastive term: ``contrastive_weight``, or 1."""
        return 1.0 if self.contrastive_weight is None else self.contrastive_weight

    @property
    def own_negatives(self) -> bool:
        """Whether a row's negatives are contrasted with its own anchor only."""
        return self.hard_negatives == "own"


class Training(Section):
    """The training run, with the names of transformers' TrainingArguments."""

    RUNNING: ClassVar = {"resume", "save_total_limit", "launcher", "dataloader_num_workers", "dataloader_pin_memory"}
    """Keys that do not change the trained model; DVC does not track them."""

    num_train_epochs: Annotated[float, Field(gt=0, le=10_000, allow_inf_nan=False)]
    max_steps: Count | None
    per_device_train_batch_size: Annotated[Batch, Field(ge=2)]
    mini_batch_size: Batch | None = None
    gradient_accumulation_steps: Count = 1
    learning_rate: Rate
    query_learning_rate: Rate = PRESET
    warmup_ratio: Share = 0.1
    weight_decay: Annotated[float, Field(ge=0, le=1)] = 0.01
    max_grad_norm: Weight = 1.0
    bf16: bool
    fp16: bool
    gradient_checkpointing: bool = False
    logging_steps: Count
    save_steps: Count
    save_total_limit: Count = 1
    eval_steps: Count | None = None
    eval_sets: Names = ["dev"]
    metric_for_best_model: Annotated[str, Field(pattern=r"^eval_\S+_ndcg@10$")] | None = None
    early_stopping_patience: Count | None = None
    resume: Resume = True
    device: Literal["auto", "cuda", "mps", "cpu"] = "auto"
    tf32: bool | None = None
    optim: Literal["adamw_torch_fused", "adamw_torch", "adafactor"] | None = None
    dataloader_num_workers: Annotated[int, Field(ge=0, le=256)] | None = None
    dataloader_pin_memory: bool | None = None
    torch_compile: bool = False
    triton: bool | None = None
    split_padding: Number | None = None
    num_threads: Processes | None = None
    launcher: Literal["none", "torchrun"] = "none"
    num_processes: Processes = 1
    gather_negatives: bool = False

    def rows_of_a_step(self) -> int:
        """Rows of one contrastive step: those of a process, or of all processes if they gather their texts."""
        return self.per_device_train_batch_size * (self.num_processes if self.gather_negatives else 1)


class Mix(Section):
    """How the data sets are combined into one sequence of batches."""

    strategy: Literal["round_robin", "proportional", "temperature"] = "round_robin"
    temperature: Annotated[float, Field(ge=0, le=1)] = 0.5
    stopping: Literal["all_exhausted", "first_exhausted"] = "all_exhausted"
    max_negatives: Number | None = None


class Teacher(Section):
    """A model or the stemmed BM25, whose scores are learned, and its share in the mean of several teachers' scores."""

    BM25: ClassVar = "bm25"

    model: LocalPath
    weight: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0


class Mining(Section):
    """Hard negatives and teacher scores for the training rows."""

    method: Literal["none", "bm25", "model", "both"] = "none"
    datasets: Names | None = None
    negatives: Count = 1
    relative_margin: Share = 0.05
    range_min: Number = 0
    range_max: Annotated[int, Field(gt=0, le=65_536)] = 100
    model: LocalPath | None = None
    teachers: list[Teacher] = []

    @property
    def searches(self) -> bool:
        """Whether ``model`` finds negatives."""
        return self.method in ("model", "both")

    def works_on(self, dataset: str) -> bool:
        """Whether mining adds anything to a data set."""
        active = self.method != "none" or bool(self.teachers)
        return active and (self.datasets is None or dataset in self.datasets)


class ModelEntry(Section):
    """A model that other keys can name: a pinned Hub repository or a local folder."""

    repo: HubId | None = None
    branch: Branch | None = None
    revision: Revision | None = None
    path: LocalPath | None = None
    trust_remote_code: bool = False
    prompts: Prompts = Prompts()


class Location(Section):
    """Where a data set or evaluation set comes from, and which profile uses it."""

    repo: HubId | None = None
    revision: Revision | None = None
    branch: Branch | None = None
    path: LocalPath | None = None
    sample: Word | None = None
    profile: UsedBy
    kind: str
    unknown_ids: Share | None = None

    def origin(self) -> dict[str, Any]:
        """Where it comes from: what the download stage depends on. For the sample this includes the version of its generator."""
        origin: dict[str, Any] = {
            "kind": self.kind,
            "repo": self.repo,
            "revision": self.revision,
            "path": self.path,
            "sample": self.sample,
        }
        return origin | {"generator": sample_version()} if self.sample else origin

    def tolerance(self) -> dict[str, float]:
        """The share of qrels rows that may name unknown ids, if it is set."""
        return {} if self.unknown_ids is None else {"unknown_ids": self.unknown_ids}


def sample_version(folder: Path = Path(__file__).parents[1] / "sample") -> str:
    """A digest of the sample's generator and texts, 12 hexadecimal digits, so that the sample is made again if they change."""
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.suffix in (".py", ".yaml")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


AnyLocation = TypeVar("AnyLocation", bound=Location)


class Dataset(Location):
    """One training set."""

    kind: DatasetKind
    language: Language | None = None
    languages: Languages | None = None
    dataset_languages: dict[str, Language] | None = None
    locale: Word | None = None
    split: Word | None = None
    unanswerable: Literal["drop", "keep"] = "drop"
    max_tokens: Count | None = None
    max_negatives: Count | None = None
    key_phrases: Number | None = None
    files: Annotated[list[str], Field(min_length=1)] | None = None
    max_rows: Count | None = None
    license: Annotated[str, Field(pattern=r"^\S+$")] | None = None

    def form(self) -> dict[str, Any]:
        """How to read its rows: what the format stage depends on."""
        keys = {"kind", "language", "languages", "dataset_languages", "locale", "split", "unanswerable", "max_tokens"}
        further = self.model_dump(include={"max_negatives", "key_phrases"}, exclude_none=True)
        return self.model_dump(include=keys) | further | self.tolerance()

    def origin(self) -> dict[str, Any]:
        """Where it comes from: what the download stage depends on."""
        return super().origin() | ({"files": self.files} if self.files else {})

    def spoken(self) -> list[str]:
        """The languages of its rows, if params.yaml gives them."""
        return list(self.languages or []) or ([self.language] if self.language else [])


class EvaluationSet(Location):
    """One evaluation set of queries, corpus and qrels, or several sets in NanoBEIR's format."""

    kind: EvaluationKind
    language: Language | None = None
    split: Word | None = None
    benchmark: Word | None = None
    subset: Word | None = None
    locale: Word | None = None
    max_tokens: Count | None = None
    max_queries: Count | None = None

    def origin(self) -> dict[str, Any]:
        """Where it comes from: what the download stage depends on."""
        return super().origin() | ({"benchmark": self.benchmark, "subset": self.subset} if self.benchmark else {})

    def form(self) -> dict[str, Any]:
        """How to read it: what the mix and evaluate stages depend on."""
        own = self.model_dump(include=set(EVALUATION_OPTIONS.get(self.kind, ())), exclude_none=True)
        return self.model_dump(include={"kind", "language", "split"}) | self.tolerance() | own


class BM25(Section):
    """The parameters of the stemmed BM25; null: the usual ones, as in `stages.retrieval.bm25`."""

    k1: Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)] | None = None
    b: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] | None = None


class Evaluation(Section):
    """What the model is evaluated on, and what it is compared with."""

    NO_MODEL: ClassVar = "none"
    """In ``dense``: no model, where the preset names one."""

    per_device_eval_batch_size: Batch = 64
    dense: LocalPath | None = None
    bm25: BM25 = BM25()
    mteb: Names
    mteb_path: LocalPath | None
    active_dims: Annotated[list[Count], AfterValidator(distinct)] = []
    compare_model: LocalPath | None = None
    sets: dict[SetName, EvaluationSet]


class Tracking(Section):
    """Where metrics of the training run are logged."""

    mlflow: bool = True
    experiment: Annotated[str, Field(pattern=r"\S", max_length=250)] = "nordic-sparse"
    tensorboard: bool = False


class Hub(Section):
    """Whether and how the model is published."""

    push: bool = False
    model_id: Annotated[HubId, Field(pattern="/")] | None
    private: bool = True
    strategy: Literal["end", "checkpoint"] = "end"
    license: Annotated[str, Field(pattern=r"^\S+$")] | None
    allow_non_commercial: bool = False


class Params(Section):
    """params.yaml with its nulls filled from the presets."""

    profile: Profile
    architecture: Architecture
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 42
    model: Model
    loss: Loss
    training: Training
    mining: Mining = Mining()
    mix: Mix
    evaluation: Evaluation
    tracking: Tracking
    hub: Hub
    models: dict[Name, ModelEntry] = {}
    datasets: dict[Name, Dataset]

    def used(self, entries: Mapping[str, AnyLocation]) -> dict[str, AnyLocation]:
        """Those of a table's entries that this profile uses."""
        return {name: entry for name, entry in entries.items() if entry.profile == self.profile}

    def entry(self, model: str) -> ModelEntry:
        """The entry of ``models`` with this name; a name without an entry is a local folder."""
        return self.models.get(model) or ModelEntry(path=model)

    def hard_negatives(self) -> Literal["batch", "own"]:
        """``loss.hard_negatives``, or own if there is distillation or mining finds several negatives a row, else batch."""
        several = self.mining.method != "none" and self.mining.negatives > 1
        return self.loss.hard_negatives or ("own" if several or self.loss.distillation != "none" else "batch")

    def models_used(self) -> dict[str, str]:
        """The models that this run loads: name or folder, by the key of params.yaml that names it."""
        mining, dense = self.mining, self.evaluation.dense
        named = {
            "model.base_model": self.model.base_model if self.model.base_model != "made" else None,
            "mining.model": mining.model if mining.searches else None,
            **{
                f"mining.teachers.{place}.model": teacher.model
                for place, teacher in enumerate(mining.teachers)
                if teacher.model != Teacher.BM25
            },
            "evaluation.compare_model": self.evaluation.compare_model,
            "evaluation.dense": dense if dense != Evaluation.NO_MODEL else None,
        }
        return {key: model for key, model in named.items() if model is not None}
