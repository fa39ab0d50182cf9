"""Which configurations a sweep tries: the grid, random draws, and what both refuse before anything starts."""

import itertools
import json
import random
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from stages.config.params import PARAMS, read_yaml, validated
from stages.config.schema import Params
from stages.config.sweep import Space, SweepFile, quantile
from stages.resolve.__main__ import resolve
from stages.resolve.checks import check
from stages.runtime.errors import UserError

Configuration = dict[str, Any]
"""A value for each of the sweep's parameters."""
ATTEMPTS = 1000
"""Draws in a row that bring nothing new before the space counts as used up."""


def grid(file: SweepFile) -> list[Configuration]:
    """All combinations, the last parameter changing fastest."""
    values = [_listed(space) for space in file.parameters.values()]
    return [dict(zip(file.parameters, row, strict=True)) for row in itertools.product(*values)]


def _listed(space: Space) -> list[Any]:
    if space.values is not None:
        return space.values
    count = space.points or 0
    return list(dict.fromkeys(quantile(space, place / (count - 1)) for place in range(count)))


def draws(file: SweepFile) -> list[Configuration]:
    """`trials` different configurations, or fewer if there are no more: the same ones for the same file."""
    rng = random.Random(file.seed)
    found: list[Configuration] = []
    for _ in range(ATTEMPTS * (file.trials or 0)):
        new = {key: draw(space, rng.random()) for key, space in file.parameters.items()}
        if new not in found:
            found.append(new)
        if len(found) == file.trials:
            break
    return found


def draw(space: Space, share: float) -> Any:
    """The value of a space at ``share``, from 0 to 1."""
    return space.values[min(int(share * len(space.values)), len(space.values) - 1)] if space.values is not None else quantile(space, share)


def inside(file: SweepFile, configuration: Mapping[str, Any]) -> bool:
    """Whether each value is one that the file's spaces can give."""
    if configuration.keys() != file.parameters.keys():
        return False
    for key, space in file.parameters.items():
        value = configuration[key]
        if space.values is not None:
            if value not in space.values:
                return False
        elif not isinstance(value, int | float) or not (space.low is None or (space.high is not None and space.low <= value <= space.high)):
            return False
    return True


def settings_of(file: SweepFile, configuration: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The settings of a configuration's trials, one for each seed."""
    settings = {**file.fixed, **configuration}
    return [settings | {"seed": seed} for seed in file.seeds] if file.seeds else [settings]


class Checker:
    """Refuses settings that params.yaml would refuse, with `stages.resolve`'s own rules."""

    def __init__(self, file: SweepFile, path: Path) -> None:
        self._file, self._path, self._values = file, path, read_yaml(PARAMS)

    def params(self, settings: Mapping[str, Any]) -> Params:
        """params.yaml with ``settings``.

        Raises:
            UserError: one line for each mistake.
        """
        values = dict(self._values)
        for key, value in settings.items():
            *above, last = key.split(".")
            section = values
            for part in above:
                below = section.get(part)
                section[part] = dict(below) if isinstance(below, Mapping) else {}
                section = section[part]
            section[last] = value
        try:
            params = validated(values)
            if wrong := list(check(params, {"DVC_EXP_NAME": "sweep"})):
                raise UserError("\n".join(wrong))
        except UserError as error:
            lines = (line.removeprefix(f"{PARAMS}: ") for line in str(error).splitlines())
            given = ", ".join(f"{key}={value}" for key, value in settings.items())
            raise UserError("\n".join(f"{self._path}: {line} (with {given})" for line in lines)) from error
        return params

    def all_of(self, configurations: Sequence[Configuration]) -> None:
        """Check a grid or draws; also that no two of them train the same model.

        Raises:
            UserError: see `params`; or a parameter changes nothing with this profile and architecture.
        """
        seen: dict[str, Configuration] = {}
        for configuration in configurations:
            settings = settings_of(self._file, configuration)
            params = self.params(settings[0])
            for others in settings[1:]:
                self.params(others)
            used = {name: values for name, values in resolve(params).items() if not name.startswith("running/")}
            other = seen.setdefault(json.dumps(used, sort_keys=True), configuration)
            if other is not configuration:
                [key, *_] = [key for key in configuration if configuration[key] != other[key]]
                raise UserError(
                    f"{self._path}: parameters.{key}: {other[key]!r} and {configuration[key]!r} give the same run; "
                    f"{params.architecture} does not use it as it is set here, so remove it or change what goes with it"
                )

    def corners(self) -> None:
        """Check the fixed values, and each value or bound of each space next to the first of the others."""
        first = {key: draw(space, 0.0) for key, space in self._file.parameters.items()}
        for configuration in [first, *({**first, key: value} for key, value in self._edges())]:
            for settings in settings_of(self._file, configuration):
                self.params(settings)

    def _edges(self) -> Iterator[tuple[str, Any]]:
        for key, space in self._file.parameters.items():
            yield from ((key, value) for value in (space.values or [draw(space, 1.0)]))
