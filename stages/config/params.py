"""Reads params.yaml strictly, fills its nulls from the presets, and reports each mistake as a one-line error.

`stages.resolve` reads params.yaml (`read_yaml`, `validated`) and writes resolved/<stage>.yaml, which other stages read (`load_resolved`).
The keys and their types are in `stages.config.schema`.
"""

import difflib
import re
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

# Keys that only some architectures use: for these they must have a value; for the others they may be null, and no stage sees them.
ARCHITECTURE_KEYS: dict[str, dict[str, tuple[str, ...]]] = {
    "splade": {
        "model": ("trim_vocabulary",),
        "loss": (
            "query_regularizer_weight",
            "document_regularizer_weight",
            "regularizer",
            "target_active_dims",
            "query_target_active_dims",
        ),
    },
    "inference-free-splade": {
        "model": ("trim_vocabulary",),
        "loss": ("document_regularizer_weight", "regularizer", "target_active_dims"),
        "training": ("query_learning_rate",),
    },
    "csr": {
        "model": ("hidden_dim", "k", "k_aux", "whitening"),
        "loss": ("auxiliary_weight", "similarity_weight", "nested_k"),
        "evaluation": ("active_dims",),
    },
}

IN_THE_TABLE = "put repo, revision and trust_remote_code into an entry of `models`, remove this key, and name the entry in "
MOVED = {
    "model.revision": f"{IN_THE_TABLE}model.base_model",
    "model.trust_remote_code": f"{IN_THE_TABLE}model.base_model",
    "mining.revision": f"{IN_THE_TABLE}mining.model",
    "mining.cross_encoder": "use mining.teachers, a list such as [{model: a-name}]",
    "mining.cross_encoder_revision": f"{IN_THE_TABLE}mining.teachers",
    "model.architecture": "use architecture, at the top",
    "training.push_to_hub": "use hub.push",
    "training.hub_model_id": "use hub.model_id",
    "training.hub_strategy": "use hub.strategy",
    "passage_words": "model.long_documents trains on the passage with the answer",  # of any entry of datasets
}
"""Keys of earlier versions and what replaces them."""

NOT_YAML = (YAMLError, ValueError, TypeError, AttributeError, LookupError, RecursionError)
"""What ruamel.yaml raises; other than `YAMLError` for a tag that does not fit its value, too long a number, too deep a nesting."""

OPTIONAL_KEYS = ("trim_vocabulary", "target_active_dims", "query_target_active_dims", "hidden_dim")
NO_VALUE = "has no value, and this profile and architecture have no preset for it; set it in params.yaml or with -S"
SELECTORS = ("profile", "architecture")  # they choose the preset
SECTIONS = tuple(name for name in Params.model_fields if name not in SELECTORS)
PRESETS: Any = TypeAdapter(dict[Profile, dict[Literal["all", Architecture], dict[Literal[SECTIONS], Any]]])  # type: ignore[valid-type]


def read_yaml(path: Path = PARAMS) -> dict[str, Any]:
    """The content of params.yaml, not validated.

    Raises:
        UserError: it is not YAML, or holds no mapping.
    """
    return _mapping(path, f"correct it, or restore it with `git checkout {path}`")


def _mapping(path: Path, remedy: str) -> dict[str, Any]:
    try:
        values = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except (OSError, *NOT_YAML) as error:
        raise UserError(f"{path}: must be YAML ({in_a_line(error)}); {remedy}") from error
    if not isinstance(values, dict):
        raise UserError(f"{path}: must hold a mapping, got {'nothing' if values is None else type(values).__name__}; {remedy}")
    return values


def validated(values: Mapping[str, Any]) -> Params:
    """Fill the nulls of params.yaml's content from the presets of its profile and architecture, and validate the whole.

    Raises:
        UserError: one line for each mistake: the key, the fault and, unless it is obvious, what to do.
    """
    raw = dict(values)
    presets = raw.pop("presets", None) or {}
    if wrong := [*mistakes(raw), *preset_mistakes(presets)]:
        raise UserError("\n".join(f"{PARAMS}: {line}" for line in wrong))
    of_profile = presets.get(str(raw.get("profile")), {})  # an unknown profile has no presets; validation names it
    preset = overlay(of_profile.get("all", {}), of_profile.get(str(raw.get("architecture")), {}))
    merged = fill_nulls(raw, preset)
    try:
        params = Params.model_validate(merged)
    except ValidationError as error:
        details = error.errors()
        # a wrong selector leaves the nulls of all other sections unfilled
        selectors = [detail for detail in details if detail["loc"][0] in SELECTORS]
        raise UserError("\n".join(f"{PARAMS}: {describe(detail)}" for detail in selectors or details)) from error
    for section, keys in ARCHITECTURE_KEYS[params.architecture].items():
        for key in keys:
            if merged[section].get(key) is None and key not in OPTIONAL_KEYS:
                raise UserError(f"{PARAMS}: {section}.{key}: {NO_VALUE}")
    return params


def preset_mistakes(presets: Any) -> Iterator[str]:
    """Yield each mistake in the structure of ``presets``: profile → architecture or "all" → section of params.yaml."""
    yield from mistakes(presets, "presets")
    try:
        PRESETS.validate_python(presets, strict=True)
    except ValidationError as error:
        yield from (describe(detail, ["presets"]) for detail in error.errors())
        return
    for profile, architectures in presets.items():
        for architecture, sections in architectures.items():
            for section, values in sections.items():
                if section != "seed" and not isinstance(values, Mapping | None):
                    yield f"presets.{profile}.{architecture}.{section}: must be a mapping, got {shorten(repr(values))}"
                for key in MOVED if isinstance(values, Mapping) else ():
                    if key.partition(".")[0] == section and key.partition(".")[2] in values:
                        yield f"presets.{profile}.{architecture}.{key}: is no longer a key; {MOVED[key]}"


def overlay(base: Mapping[str, Any], top: Mapping[str, Any]) -> dict[str, Any]:
    """``base`` overwritten by the values of ``top``, nulls too, recursively."""
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
    """The settings of a stage, as `stages.resolve` wrote them to resolved/<stage>.yaml."""
    return kind.model_validate(read_resolved(stage, folder))


def read_resolved(stage: str, folder: Path = RESOLVED) -> dict[str, Any]:
    """resolved/<stage>.yaml as a plain mapping, merged with resolved/running/<stage>.yaml."""
    path, running = folder / f"{stage}.yaml", folder / "running" / f"{stage}.yaml"
    if not path.exists():
        raise UserError(f"{path}: is missing; run `dvc repro`, or `python -m stages.resolve` for this one step")
    remedy = "`python -m stages.resolve` writes it again"
    return _mapping(path, remedy) | (_mapping(running, remedy) if running.exists() else {})


PHRASES = {
    "^Value error, ": "",
    r"^\w+ should ": "must ",
    "a valid dictionary.*": "a mapping",
    "a valid boolean": "true or false",
    "a valid integer": "an integer",
    "a valid ": "a ",
    "greater than or equal to": "at least",
    "less than or equal to": "at most",
    "match pattern": "match the pattern",
    " after validation, not .*": "",
}
"""pydantic's phrases, as regular expressions, and ours."""


def describe(detail: ErrorDetails, within: Sequence[str] = (), section: type[Section] = Params, of: str = "params.yaml") -> str:
    """One of pydantic's errors as one line, "key: fault; what to do".

    Args:
        within: the parts of the key above the validated values.
        section: the model of the file ``of``, whose keys are known.
    """
    parts = [*within, *(shorten(str(part)) for part in detail["loc"] if part != "[key]")]
    key, kind, given = ".".join(parts), detail["type"], detail["input"]
    shown = shorten(str(given).lower() if isinstance(given, bool) else repr(given))
    if moved := MOVED.get(key) or MOVED.get(parts[-1]):
        fault, remedy = "is no longer a key", moved
    elif kind == "extra_forbidden":
        fault, remedy = f"is not a key of {of}", _nearest(parts, section)
    elif kind == "missing" or given is None:
        fault, _, remedy = NO_VALUE.partition("; ") if section is Params else ("has no value", "", "give one")
    else:
        message = detail["msg"].replace("'", "") if kind == "literal_error" else detail["msg"]
        for pydantics, ours in PHRASES.items():
            message = re.sub(pydantics, ours, message)
        expected, _, remedy = message.partition("; ")
        fault = f"{expected}, got {shown}"
    return f"{key}: {fault}" + (f"; {remedy}" if remedy else "")


def _nearest(parts: list[str], section: Any) -> str:
    """What to do about an unknown key: the most similar known one."""
    for part in parts[:-1]:
        section = section.model_fields[part].annotation if hasattr(section, "model_fields") else get_args(section)[-1]  # of an entry
    known = list(section.model_fields)
    close = difflib.get_close_matches(parts[-1], known, n=1)
    return f"did you mean {'.'.join([*parts[:-1], close[0]])}?" if close else f"remove it (the keys here are {', '.join(known)})"
