"""params.yaml as typed, frozen, validated values: what is allowed, what null means, and what each stage gets to see.

`stages.resolve` reads params.yaml through `Params` and writes resolved/<stage>.yaml; the other stages read theirs back through
`load_resolved`.
"""

import difflib
import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from stages.errors import UserError

PARAMS = Path("params.yaml")
RESOLVED = Path("resolved")

Architecture = Literal["splade", "inference-free-splade", "csr"]
Profile = Literal["sample", "nordic", "ecommerce"]
DatasetKind = Literal["triplets", "squad", "openbookqa", "pairs", "paws_x", "ddsc", "eti", "esci", "beir"]
EvaluationKind = Literal["beir", "nanobeir"]


def _norwegian_is_bokmal(value: Any) -> Any:
    return "nb" if value == "no" else value


def _revision(value: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{40}", value):
        raise ValueError(
            f"{value!r} is not a revision; give the commit's 40 hexadecimal digits, not a branch or tag (`make pin` looks them up)"
        )
    return value


def _name(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", value):
        raise ValueError(f"{value!r} cannot be a name; use letters, digits, '-' and '_'")
    return value


Language = Annotated[Literal["nb", "nn", "da", "sv", "en"], BeforeValidator(_norwegian_is_bokmal)]
Revision = Annotated[str, AfterValidator(_revision)]
Name = Annotated[str, AfterValidator(_name)]
Count = Annotated[int, Field(gt=0)]
Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Rate = Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)]


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

    vocab_size: Annotated[int, Field(ge=500)]
    hidden_size: Count
    num_hidden_layers: Count
    num_attention_heads: Count


class Model(Section):
    """The base model and the size of what is built upon it."""

    base_model: str
    revision: Revision | None = None
    trust_remote_code: list[str] = []
    max_seq_length: Annotated[int, Field(ge=8)]
    made: Made | None = None
    hidden_dim: Count = 4096
    k: Count = 256
    k_aux: Count = 512


class Loss(Section):
    """Weights of the loss terms."""

    query_regularizer_weight: Weight = 0.0
    document_regularizer_weight: Weight = 0.0
    auxiliary_weight: Weight = 0.1
    contrastive_weight: Weight = 1.0


class Training(Section):
    """The optimisation, by the names of transformers' TrainingArguments."""

    num_train_epochs: Annotated[float, Field(gt=0)]
    max_steps: Count | None
    per_device_train_batch_size: Annotated[int, Field(ge=2)]
    gradient_accumulation_steps: Count
    learning_rate: Rate
    query_learning_rate: Rate = 1e-3
    warmup_ratio: Share
    weight_decay: Weight
    max_grad_norm: Weight
    bf16: bool
    fp16: bool
    gradient_checkpointing: bool
    logging_steps: Count
    save_steps: Count
    save_total_limit: Count
    resume: bool
    device: Literal["auto", "cuda", "mps", "cpu"]


class Mix(Section):
    """How the data sets become one training order."""

    strategy: Literal["round_robin", "proportional", "temperature"]
    temperature: Annotated[float, Field(ge=0, le=1)]
    stopping: Literal["all_exhausted", "first_exhausted"]


class Location(Section):
    """Where a data set or evaluation set lies, and which profiles use it."""

    repo: str | None = None
    revision: Revision | None = None
    branch: str | None = None
    path: str | None = None
    sample: str | None = None
    profiles: list[Profile] | None = None
    enabled: bool | None = None
    kind: str

    def chosen(self, profile: str) -> bool:
        """Whether ``profile`` uses this set; ``enabled`` overrules the list of profiles."""
        if self.enabled is not None:
            return self.enabled
        return self.profiles is None or profile in self.profiles

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


def sample_version(folder: Path = Path(__file__).parent / "sample") -> str:
    """Twelve hexadecimal digits of the sample's generator and texts, so that a change of theirs makes the sample anew."""
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.suffix in (".py", ".yaml")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


class Dataset(Location):
    """One training set."""

    kind: DatasetKind
    language: Language | None = None
    languages: list[Language] | None = None
    locale: str | None = None
    split: str | None = None
    passage_words: Count | None = None
    max_rows: Count | None = None

    def form(self) -> dict[str, Any]:
        """How its rows read, as the format stage sees it."""
        return self.model_dump(include={"kind", "language", "languages", "locale", "split", "passage_words"})

    def spoken(self) -> list[str]:
        """The languages of its rows, as far as params.yaml says."""
        return list(self.languages or []) or ([self.language] if self.language else [])


class EvaluationSet(Location):
    """One evaluation set of queries, corpus and qrels."""

    kind: EvaluationKind
    language: Language | None = None
    split: str | None = None

    def form(self) -> dict[str, Any]:
        """How it reads, as the mix and evaluate stages see it."""
        return self.model_dump(include={"kind", "language", "split"})


class Evaluation(Section):
    """What the model is scored on."""

    per_device_eval_batch_size: Count
    mteb: list[str]
    mteb_path: str | None
    sets: dict[Name, EvaluationSet]


class Tracking(Section):
    """Who watches."""

    mlflow: bool
    experiment: Annotated[str, Field(min_length=1)]
    tensorboard: bool


class Hub(Section):
    """Where the model goes."""

    push: bool
    model_id: Annotated[str, Field(pattern=r"^[\w.-]+/[\w.-]+$")] | None
    private: bool
    strategy: Literal["end"]
    license: str | None
    allow_non_commercial: bool = False


# What only some architectures use: there it must have a value, elsewhere it may be null and no stage sees it.
ARCHITECTURE_KEYS: dict[str, dict[str, tuple[str, ...]]] = {
    "splade": {"loss": ("query_regularizer_weight", "document_regularizer_weight")},
    "inference-free-splade": {"loss": ("document_regularizer_weight",), "training": ("query_learning_rate",)},
    "csr": {"model": ("hidden_dim", "k", "k_aux"), "loss": ("auxiliary_weight", "contrastive_weight")},
}


class Params(Section):
    """params.yaml with every null filled in by the presets."""

    profile: Profile
    architecture: Architecture
    seed: Annotated[int, Field(ge=0, lt=2**32)]
    model: Model
    loss: Loss
    training: Training
    mix: Mix
    evaluation: Evaluation
    tracking: Tracking
    hub: Hub
    datasets: dict[Name, Dataset]


def read_params(path: Path = PARAMS) -> Params:
    """Read params.yaml, fill its nulls from the presets of its profile and architecture, and validate the whole.

    Raises:
        UserError: one line a mistake, each naming the key, what is wrong and what to do.
    """
    try:
        raw = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read ({error}); restore it with `git checkout {path}`") from error
    except YAMLError as error:
        raise UserError(f"{path}: is not YAML ({' '.join(str(error).split())}); mend the line it names") from error
    if not isinstance(raw, dict):
        raise UserError(f"{path}: holds no mapping; restore it with `git checkout {path}`")
    presets = raw.pop("presets", {}) or {}
    merged = fill_nulls(raw, preset_values(presets, raw.get("profile"), raw.get("architecture")))
    try:
        params = Params.model_validate(merged)
    except ValidationError as error:
        details = error.errors()
        selectors = [detail for detail in details if detail["loc"][0] in ("profile", "architecture")]  # the other nulls follow from these
        raise UserError("\n".join(describe(detail, path) for detail in selectors or details)) from error
    for section, keys in ARCHITECTURE_KEYS[params.architecture].items():
        for key in keys:
            if merged[section].get(key) is None:
                raise UserError(f"{path}: {section}.{key}: {NO_VALUE}")
    return params


NO_VALUE = "has no value, and this profile and architecture have no preset for it; set it in params.yaml or with -S"


def preset_values(presets: Mapping[str, Any], profile: Any, architecture: Any) -> dict[str, Any]:
    """The presets of one profile and architecture: ``profile.all``, overruled by ``profile.architecture``.

    An unknown profile or architecture has no presets; validation names it afterwards.
    """
    of_profile = presets.get(profile) or {} if isinstance(profile, str) else {}
    specific = of_profile.get(architecture) or {} if isinstance(architecture, str) else {}
    return overlay(of_profile.get("all") or {}, specific)


def overlay(base: Mapping[str, Any], top: Mapping[str, Any]) -> dict[str, Any]:
    """``base`` with the values of ``top`` over it, mapping by mapping."""
    merged = dict(base)
    for key, value in top.items():
        below = merged.get(key)
        merged[key] = overlay(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
    return merged


def fill_nulls(values: Mapping[str, Any], preset: Mapping[str, Any]) -> dict[str, Any]:
    """``values`` with each null (or missing key) replaced by the preset's value; a null without a preset stays."""
    merged = dict(values)
    for key, value in preset.items():
        own = merged.get(key)
        if own is None:
            merged[key] = value
        elif isinstance(own, Mapping) and isinstance(value, Mapping):
            merged[key] = fill_nulls(own, value)
    return merged


T = TypeVar("T", bound=Section)


def load_resolved(stage: str, kind: type[T], folder: Path = RESOLVED) -> T:
    """The effective values of one stage, as resolve wrote them to resolved/<stage>.yaml."""
    return kind.model_validate(read_resolved(stage, folder))


def read_resolved(stage: str, folder: Path = RESOLVED) -> dict[str, Any]:
    """resolved/<stage>.yaml as a plain mapping."""
    path = folder / f"{stage}.yaml"
    if not path.exists():
        raise UserError(f"{path}: is missing; run `dvc repro`, or `python -m stages.resolve` for this one step")
    values: dict[str, Any] = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    return values


def describe(detail: ErrorDetails, path: Path) -> str:
    """One line for one of pydantic's errors: the key, what is wrong, what to do."""
    parts = [str(part) for part in detail["loc"] if part not in ("[key]",)]
    key, kind, given = ".".join(parts), detail["type"], detail["input"]
    if kind == "extra_forbidden":
        wrong, remedy = "is not a key of params.yaml", _nearest(parts)
    elif kind == "missing" or given is None:
        wrong, _, remedy = NO_VALUE.partition("; ")
    elif kind == "literal_error":
        wrong, remedy = f"is {given!r}", f"use one of {detail.get('ctx', {}).get('expected', '')}".replace("'", "")
    elif kind == "value_error":
        wrong, _, remedy = detail["msg"].removeprefix("Value error, ").partition("; ")
    else:
        wrong = f"is {given!r}, a {type(given).__name__}" if kind.endswith("_type") else f"is {given!r}"
        remedy = detail["msg"].replace("Input should be", "give").replace("valid ", "").replace("String should", "it should")
    return f"{path}: {key}: {wrong}; {remedy}"


def _nearest(parts: list[str]) -> str:
    """The nearest known key beside an unknown one, as advice."""
    section: Any = Params
    for part in parts[:-1]:
        fields = getattr(section, "model_fields", {})
        section = (
            fields[part].annotation
            if part in fields
            else {"datasets": Dataset, "sets": EvaluationSet}.get(parts[-3] if len(parts) > 2 else "", Params)
        )
        if getattr(section, "__origin__", None) is dict:
            section = section.__args__[1]
    known = list(getattr(section, "model_fields", {}))
    close = difflib.get_close_matches(parts[-1], known, n=1)
    return f"did you mean {'.'.join([*parts[:-1], close[0]])}?" if close else f"remove it; known here: {', '.join(known)}"
