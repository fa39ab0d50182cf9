"""The shape of params.yaml: what each section may hold, as frozen pydantic models without silent conversions."""

import hashlib
import re
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from stages.config.fields import Batch, Count, HubId, LocalPath, Names, Number, Processes, Weight, Word, distinct, local_path
from stages.config.plain import shorten

Architecture = Literal["splade", "inference-free-splade", "csr"]
Profile = Literal["sample", "own", "nordic", "ecommerce"]
UsedBy = Literal["sample", "own", "nordic", "ecommerce", "none"]
DatasetKind = Literal["triplets", "squad", "openbookqa", "pairs", "supervised_da", "paws_x", "ddsc", "eti", "esci", "beir"]
EvaluationKind = Literal["beir", "nanobeir"]


def _norwegian_is_bokmal(value: Any) -> Any:
    return "nb" if value == "no" else value


def _revision(value: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{40}", value):
        raise ValueError(
            f"{shorten(value)!r} is not a revision; give the commit's 40 hexadecimal digits, not a branch or tag (`make pin` looks them up)"
        )
    return value


def _name(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", value):
        raise ValueError(f"{shorten(value)!r} cannot be a name; use at most 64 letters, digits, '-' and '_'")
    return value


def _free_name(value: str) -> str:
    if value in RESERVED:
        raise ValueError(f"{value!r} cannot be the name of an evaluation set, it stands for {RESERVED[value]}; rename the set")
    return value


def _resume(value: Any) -> Any:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.strip():
        return local_path(value)
    raise ValueError(f"is {shorten(repr(value))}; use true, false or the path of a checkpoint-N")


Language = Annotated[Literal["nb", "nn", "da", "sv", "en"], BeforeValidator(_norwegian_is_bokmal)]
Revision = Annotated[str, AfterValidator(_revision)]
Branch = Annotated[str, Field(pattern=r"^\S+$")]
Name = Annotated[str, AfterValidator(_name)]
SetName = Annotated[Name, AfterValidator(_free_name)]
RESERVED = {  # names in metrics/evaluation.json, in the log of a training run, and in training.eval_sets
    "mean": "the mean over all sets",
    "NanoBEIR_mean_dot": "the mean over NanoBEIR's sets",
    "dev": "the held-out rows of the training sets",
}
Languages = Annotated[list[Language], Field(min_length=1), AfterValidator(distinct)]
Rate = Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)]
Resume = Annotated[bool | str, BeforeValidator(_resume)]
PRESET: Any = None
"""Default of what only some architectures use: these have a value, their preset's or the user's; the others have none."""


class Section(BaseModel):
    """A mapping of params.yaml: no unknown key, no silent conversion, no change after reading."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _null_means_default(cls, values: Any) -> Any:
        """A null is dropped where the field has a default: what another architecture uses may stay null."""
        if not isinstance(values, dict):
            return values
        fields = cls.model_fields
        return {k: v for k, v in values.items() if v is not None or k not in fields or fields[k].is_required()}


class Made(Section):
    """The base model that is made from the training texts."""

    vocab_size: Annotated[int, Field(ge=500, le=500_000)] = 8000
    hidden_size: Annotated[int, Field(gt=0, le=4096)] = 128
    num_hidden_layers: Annotated[int, Field(gt=0, le=100)] = 2
    num_attention_heads: Annotated[int, Field(gt=0, le=4096)] = 4


class Prompts(Section):
    """What stands before every text of a kind, in training, in evaluation and in the saved model."""

    query: str | None = None
    document: str | None = None

    def given(self) -> dict[str, str]:
        """Kind → prompt, of those that are set."""
        return self.model_dump(exclude_none=True)


class Model(Section):
    """The base model and the size of what is built upon it."""

    base_model: LocalPath
    max_seq_length: Annotated[int, Field(ge=8, le=131_072)]
    prompts: Prompts = Prompts()
    attn_implementation: Literal["eager", "sdpa", "flash_attention_2"] | None = None
    made: Made = Made()
    hidden_dim: Annotated[int, Field(gt=0, le=2**20)] = PRESET
    k: Count = PRESET
    k_aux: Count = PRESET
    whitening: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] = PRESET


class Loss(Section):
    """The terms of the loss and their weights."""

    query_regularizer_weight: Weight = PRESET
    document_regularizer_weight: Weight = PRESET
    regularizer: Literal["flops", "l1", "df_flops"] = "flops"
    target_active_dims: Count | None = None
    query_target_active_dims: Count | None = None
    auxiliary_weight: Weight = PRESET
    contrastive_weight: Weight = PRESET
    similarity_weight: Weight = PRESET
    distillation: Literal["none", "margin_mse", "kl"] = "none"


class Training(Section):
    """The optimisation, by the names of transformers' TrainingArguments."""

    RUNNING: ClassVar = {"resume", "save_total_limit", "launcher", "dataloader_num_workers", "dataloader_pin_memory"}
    """How a training runs, which changes nothing in what it comes to: dvc does not watch these."""

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
        """Rows that one contrastive step sees: of a process, times the processes where their texts are gathered."""
        return self.per_device_train_batch_size * (self.num_processes if self.gather_negatives else 1)


class Mix(Section):
    """How the data sets become one training order."""

    strategy: Literal["round_robin", "proportional", "temperature"] = "round_robin"
    temperature: Annotated[float, Field(ge=0, le=1)] = 0.5
    stopping: Literal["all_exhausted", "first_exhausted"] = "all_exhausted"
    max_negatives: Number | None = None


class Mining(Section):
    """Hard negatives and a teacher's scores for the training rows."""

    method: Literal["none", "bm25", "model"] = "none"
    datasets: Names | None = None
    negatives: Count = 1
    relative_margin: Share = 0.05
    range_min: Number = 0
    range_max: Annotated[int, Field(gt=0, le=65_536)] = 100
    model: LocalPath | None = None
    cross_encoder: LocalPath | None = None

    def works_on(self, dataset: str) -> bool:
        """Whether there is something to do for a data set."""
        active = self.method != "none" or self.cross_encoder is not None
        return active and (self.datasets is None or dataset in self.datasets)


class ModelEntry(Section):
    """A model that others can name: a pinned Hub repository or a local folder."""

    repo: HubId | None = None
    branch: Branch | None = None
    revision: Revision | None = None
    path: LocalPath | None = None
    trust_remote_code: bool = False


class Location(Section):
    """Where a data set or evaluation set lies, and which profile uses it."""

    repo: HubId | None = None
    revision: Revision | None = None
    branch: Branch | None = None
    path: LocalPath | None = None
    sample: Word | None = None
    profile: UsedBy
    kind: str
    unknown_ids: Share | None = None

    def origin(self) -> dict[str, str | None]:
        """Where it lies, as the download stage sees it; of the sample also which version of its generator writes it."""
        origin: dict[str, str | None] = {
            "kind": self.kind,
            "repo": self.repo,
            "revision": self.revision,
            "path": self.path,
            "sample": self.sample,
        }
        return origin | {"generator": sample_version()} if self.sample else origin

    def tolerance(self) -> dict[str, float]:
        """The share of the qrels' rows that may name unknown ids, if it is given."""
        return {} if self.unknown_ids is None else {"unknown_ids": self.unknown_ids}


def sample_version(folder: Path = Path(__file__).parents[1] / "sample") -> str:
    """Twelve hexadecimal digits of the sample's generator and texts, so that a change of theirs makes the sample anew."""
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.suffix in (".py", ".yaml")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


class Dataset(Location):
    """One training set."""

    kind: DatasetKind
    language: Language | None = None
    languages: Languages | None = None
    dataset_languages: dict[str, Language] | None = None
    locale: Word | None = None
    split: Word | None = None
    passage_words: Count | None = None
    unanswerable: Literal["drop", "keep"] = "drop"
    max_tokens: Count | None = None
    max_rows: Count | None = None
    license: Annotated[str, Field(pattern=r"^\S+$")] | None = None

    def form(self) -> dict[str, Any]:
        """How its rows read, as the format stage sees it."""
        keys = {"kind", "language", "languages", "dataset_languages", "locale", "split", "passage_words", "unanswerable", "max_tokens"}
        return self.model_dump(include=keys) | self.tolerance()

    def spoken(self) -> list[str]:
        """The languages of its rows, as far as params.yaml says."""
        return list(self.languages or []) or ([self.language] if self.language else [])


class EvaluationSet(Location):
    """One evaluation set of queries, corpus and qrels, or several in NanoBEIR's form."""

    kind: EvaluationKind
    language: Language | None = None
    split: Word | None = None
    benchmark: Word | None = None
    subset: Word | None = None

    def origin(self) -> dict[str, str | None]:
        """Where it lies, as the download stage sees it."""
        return super().origin() | ({"benchmark": self.benchmark, "subset": self.subset} if self.benchmark else {})

    def form(self) -> dict[str, Any]:
        """How it reads, as the mix and evaluate stages see it."""
        return self.model_dump(include={"kind", "language", "split"}) | self.tolerance()


class Evaluation(Section):
    """What the model is scored on."""

    per_device_eval_batch_size: Batch = 32
    mteb: list[str]
    mteb_path: LocalPath | None
    active_dims: Annotated[list[Count], AfterValidator(distinct)] = []
    sets: dict[SetName, EvaluationSet]


class Tracking(Section):
    """Who watches."""

    mlflow: bool = True
    experiment: Annotated[str, Field(pattern=r"\S", max_length=250)] = "nordic-sparse"
    tensorboard: bool = False


class Hub(Section):
    """Where the model goes."""

    push: bool = False
    model_id: Annotated[HubId, Field(pattern="/")] | None
    private: bool = True
    strategy: Literal["end", "checkpoint"] = "end"
    license: Annotated[str, Field(pattern=r"^\S+$")] | None
    allow_non_commercial: bool = False


class Params(Section):
    """params.yaml with every null filled in by the presets."""

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

    def entry(self, model: str) -> ModelEntry:
        """What ``models`` has under this name; a name that is not in it is a local folder."""
        return self.models.get(model) or ModelEntry(path=model)

    def models_used(self) -> dict[str, str]:
        """Every model that this run loads: the key of params.yaml that names it, and the name or folder."""
        mining = self.mining
        named = {
            "model.base_model": self.model.base_model if self.model.base_model != "made" else None,
            "mining.model": mining.model if mining.method == "model" else None,
            "mining.cross_encoder": mining.cross_encoder,
        }
        return {key: model for key, model in named.items() if model is not None}
