"""The settings of a launcher that rents machines, as strict as params.yaml's: docs/cloud.md explains them."""

from collections.abc import Iterable, Mapping
from functools import reduce
from typing import Annotated, Any

from pydantic import Field, ValidationError
from ruamel.yaml import YAML

from stages.config.fields import Number, Processes, Word
from stages.config.own_paths import own_paths
from stages.config.params import NOT_YAML, describe, overlay, read_yaml, validated
from stages.config.plain import in_a_line, mistakes
from stages.config.schema import Section
from stages.runtime.errors import UserError


class Modal(Section):
    """What a container on Modal gets; ``gpu`` ("none": a CPU alone), ``region`` and the secrets by Modal's names."""

    gpu: Word = "L4"
    timeout_hours: Annotated[float, Field(gt=0, le=24)] = 24.0
    region: Word | None = None
    retries: Annotated[Number, Field(le=10)] = 3
    huggingface_secret: Word | None = None
    mlflow_secret: Word | None = None
    parallel: Processes = 24


def assigned(assignments: Iterable[str]) -> tuple[Modal, dict[str, Any]]:
    """Split ``key=value`` settings, with YAML values, into those of `Modal`, named modal.<key>, and those of params.yaml; validate both.

    >>> settings, others = assigned(["modal.gpu=H100", "modal.timeout_hours=2.5"])
    >>> settings.gpu, settings.timeout_hours, others
    ('H100', 2.5, {})

    Raises:
        UserError: a setting is not key=value, or its key or value is invalid.
    """
    own: dict[str, Any] = {}
    others: dict[str, Any] = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals or not name:
            raise UserError(f"{assignment}: must be key=value, with a key of params.yaml or of modal")
        try:
            value = YAML(typ="safe", pure=True).load(text)
        except NOT_YAML as error:
            raise UserError(f"{name}: must be a YAML value ({in_a_line(error)})") from error
        if wrong := list(mistakes(value, name)):
            raise UserError("\n".join(wrong))
        *above, last = name.split(".")
        if above == ["modal"]:
            own[last] = value
        else:
            others[name] = value
    refuse_own_paths(others)
    try:
        return Modal.model_validate(own), others
    except ValidationError as error:
        lines = [describe(detail, section=Modal, of="modal").removeprefix("modal.") for detail in error.errors()]
        raise UserError("\n".join(f"modal.{line}" for line in lines)) from error


def refuse_own_paths(settings: Mapping[str, Any]) -> None:
    """Refuse params.yaml with ``settings``, by key with dots, if it is invalid or names files that a container does not see.

    Raises:
        UserError: naming the key.
    """
    values = read_yaml()
    for key, value in settings.items():
        *above, last = key.split(".")
        values = overlay(values, reduce(lambda inner, part: {part: inner}, reversed(above), {last: value}))
    for key, path in own_paths(validated(values)).items():
        raise UserError(f"{key}: must be on the Hub for a container, got {path} on this machine; upload it and name its repo")
