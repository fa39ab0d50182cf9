"""params.yaml read: strict, one line a mistake, its nulls filled from the presets; and what each stage gets to see of it.

`stages.resolve` reads params.yaml by `read_params` and writes resolved/<stage>.yaml; the other stages read theirs back by `load_resolved`.
The shape itself is in `stages.config.schema`.
"""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from stages.config.plain import in_a_line, mistakes, shorten
from stages.config.schema import Architecture, Params, Profile, Section
from stages.runtime.errors import UserError

PARAMS = Path("params.yaml")
RESOLVED = Path("resolved")

# What only some architectures use: there it must have a value, elsewhere it may be null and no stage sees it.
ARCHITECTURE_KEYS: dict[str, dict[str, tuple[str, ...]]] = {
    "splade": {
        "loss": ("query_regularizer_weight", "document_regularizer_weight", "regularizer", "target_active_dims", "query_target_active_dims")
    },
    "inference-free-splade": {
        "loss": ("document_regularizer_weight", "regularizer", "target_active_dims"),
        "training": ("query_learning_rate",),
    },
    "csr": {
        "model": ("hidden_dim", "k", "k_aux", "whitening"),
        "loss": ("auxiliary_weight", "contrastive_weight", "similarity_weight"),
        "evaluation": ("active_dims",),
    },
}

IN_THE_TABLE = "each model has one entry in `models`, with its repo, revision and trust_remote_code; remove the key and name that entry in "
MOVED = {
    "model.revision": f"{IN_THE_TABLE}model.base_model",
    "model.trust_remote_code": f"{IN_THE_TABLE}model.base_model",
    "mining.revision": f"{IN_THE_TABLE}mining.model",
    "mining.cross_encoder_revision": f"{IN_THE_TABLE}mining.cross_encoder",
    "model.architecture": "write it as architecture, at the top",
    "training.push_to_hub": "write it as hub.push",
    "training.hub_model_id": "write it as hub.model_id",
    "training.hub_strategy": "write it as hub.strategy",
}
"""Keys of earlier versions, and what to do instead."""

NOT_YAML = (YAMLError, ValueError, TypeError, AttributeError, LookupError, RecursionError)
"""What ruamel raises: the last ones for a tag whose value is not of its kind, a number of too many digits, a list in a list in a list …"""

OPTIONAL_KEYS = ("target_active_dims", "query_target_active_dims")


def read_params(path: Path = PARAMS) -> Params:
    """Read params.yaml, fill its nulls from the presets of its profile and architecture, and validate the whole.

    Raises:
        UserError: one line a mistake, each naming the key, what is wrong and what to do.
    """
    return validated(read_yaml(path), path)


def read_yaml(path: Path = PARAMS) -> dict[str, Any]:
    """params.yaml as it stands. Errors as `read_params`."""
    return _mapping(path, f"correct it, or restore it with `git checkout {path}`")


def _mapping(path: Path, remedy: str) -> dict[str, Any]:
    try:
        values = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except (OSError, *NOT_YAML) as error:
        raise UserError(f"{path}: cannot be read as YAML ({in_a_line(error)}); {remedy}") from error
    if not isinstance(values, dict):
        raise UserError(f"{path}: is empty or holds no mapping; {remedy}")
    return values


def validated(values: Mapping[str, Any], path: Path = PARAMS) -> Params:
    """The content of params.yaml, as read from ``path``, with its nulls filled from the presets. Errors as `read_params`."""
    raw = dict(values)
    presets = raw.pop("presets", None) or {}
    if wrong := [*mistakes(raw), *preset_mistakes(presets)]:
        raise UserError("\n".join(f"{path}: {line}" for line in wrong))
    of_profile = presets.get(str(raw.get("profile")), {})  # an unknown profile has no presets; validation names it
    preset = overlay(of_profile.get("all", {}), of_profile.get(str(raw.get("architecture")), {}))
    merged = fill_nulls(raw, preset)
    try:
        params = Params.model_validate(merged)
    except ValidationError as error:
        details = error.errors()
        selectors = [detail for detail in details if detail["loc"][0] in ("profile", "architecture")]  # the other nulls follow from these
        raise UserError("\n".join(f"{path}: {describe(detail)}" for detail in selectors or details)) from error
    for section, keys in ARCHITECTURE_KEYS[params.architecture].items():
        for key in keys:
            if merged[section].get(key) is None and key not in OPTIONAL_KEYS:
                raise UserError(f"{path}: {section}.{key}: {NO_VALUE}")
    return params


NO_VALUE = "has no value, and this profile and architecture have no preset for it; set it in params.yaml or with -S"


SECTIONS = tuple(name for name in Params.model_fields if name not in ("profile", "architecture"))  # which choose the preset
PRESETS: Any = TypeAdapter(dict[Profile, dict[Literal["all", Architecture], dict[Literal[SECTIONS], Any]]])  # type: ignore[valid-type]


def preset_mistakes(presets: Any) -> Iterator[str]:
    """Yield what is wrong with the shape of ``presets``: profile → architecture or "all" → sections of params.yaml."""
    yield from mistakes(presets, "presets")
    try:
        PRESETS.validate_python(presets, strict=True)
    except ValidationError as error:
        yield from (describe(detail, ["presets"]) for detail in error.errors())
        return
    for profile, architectures in presets.items():
        for architecture, sections in architectures.items():
            for section, values in sections.items():
                for key in MOVED if isinstance(values, Mapping) else ():
                    if key.partition(".")[0] == section and key.partition(".")[2] in values:
                        yield f"presets.{profile}.{architecture}.{key}: is not a key any more; {MOVED[key]}"


def overlay(base: Mapping[str, Any], top: Mapping[str, Any]) -> dict[str, Any]:
    """``base`` with the values of ``top``, nulls too, over it, mapping by mapping."""
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
        if own is None or (isinstance(own, Mapping) and not isinstance(value, Mapping | None)):  # the latter: for validation to refuse
            merged[key] = value
        elif isinstance(own, Mapping) and isinstance(value, Mapping):
            merged[key] = fill_nulls(own, value)
    return merged


T = TypeVar("T", bound=Section)


def load_resolved(stage: str, kind: type[T], folder: Path = RESOLVED) -> T:
    """The effective values of one stage, as resolve wrote them to resolved/<stage>.yaml."""
    return kind.model_validate(read_resolved(stage, folder))


def read_resolved(stage: str, folder: Path = RESOLVED) -> dict[str, Any]:
    """resolved/<stage>.yaml as a plain mapping, with what resolved/running/<stage>.yaml adds."""
    path, running = folder / f"{stage}.yaml", folder / "running" / f"{stage}.yaml"
    if not path.exists():
        raise UserError(f"{path}: is missing; run `dvc repro`, or `python -m stages.resolve` for this one step")
    remedy = "`python -m stages.resolve` writes it again"
    return _mapping(path, remedy) | (_mapping(running, remedy) if running.exists() else {})


def describe(detail: ErrorDetails, within: Sequence[str] = ()) -> str:
    """One line for one of pydantic's errors: the key, which begins with those ``within``, what is wrong, what to do."""
    parts = [*within, *(shorten(str(part)) for part in detail["loc"] if part != "[key]")]
    key, kind, given = ".".join(parts), detail["type"], detail["input"]
    shown = shorten(repr(given))
    if key in MOVED:
        wrong, remedy = "is not a key any more", MOVED[key]
    elif kind == "extra_forbidden":
        wrong, remedy = "is not a key of params.yaml", _nearest(parts)
    elif kind == "missing" or given is None:
        wrong, _, remedy = NO_VALUE.partition("; ")
    elif kind == "literal_error":
        wrong, remedy = f"is {shown}", f"use one of {detail.get('ctx', {}).get('expected', '')}".replace("'", "")
    elif kind == "value_error":
        wrong, _, remedy = detail["msg"].removeprefix("Value error, ").partition("; ")
    else:
        wrong = f"is {shown}, a {type(given).__name__}" if kind.endswith("_type") else f"is {shown}"
        remedy = detail["msg"].replace("Input should be", "give").replace("valid ", "").replace("String should", "it should")
    return f"{key}: {wrong}; {remedy}"


def _nearest(parts: list[str]) -> str:
    """The nearest known key beside an unknown one, as advice."""
    section: Any = Params
    for part in parts[:-1]:
        section = section.model_fields[part].annotation if hasattr(section, "model_fields") else get_args(section)[1]  # of a table's entry
    known = list(section.model_fields)
    close = difflib.get_close_matches(parts[-1], known, n=1)
    return f"did you mean {'.'.join([*parts[:-1], close[0]])}?" if close else f"remove it; known here: {', '.join(known)}"
