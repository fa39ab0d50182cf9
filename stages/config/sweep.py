"""The keys of a sweep file (sweeps/<name>.yaml), as strict as params.yaml's: docs/sweeps.md explains them."""

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field, ValidationError, model_validator

from stages.config.cloud import Modal
from stages.config.fields import Count, Number, Processes, Word, distinct
from stages.config.params import describe, read_yaml
from stages.config.plain import mistakes
from stages.config.schema import Section
from stages.runtime.errors import UserError

Launcher = Literal["local", "ray", "slurm", "modal"]
Finite = Annotated[int | float, Field(allow_inf_nan=False)]
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,49}")
DIRECTIONS = ("maximize", "minimize")


def _objective(value: str) -> str:
    direction, _, metric = value.partition(" ")
    if direction not in DIRECTIONS or not metric or " " in metric:
        raise ValueError("must be `maximize METRIC` or `minimize METRIC`, such as maximize mean.ndcg@10")
    return value


Objective = Annotated[str, AfterValidator(_objective)]


class Space(Section):
    """The values that a parameter can take: a list, a range, or a normal distribution. In the file, a list stands for ``values``."""

    values: Annotated[list[Any], Field(min_length=1), AfterValidator(distinct)] | None = None
    low: Finite | None = None
    high: Finite | None = None
    mean: Finite | None = None
    deviation: Annotated[Finite, Field(gt=0)] | None = None
    scale: Literal["linear", "log"] = "linear"
    points: Annotated[int, Field(ge=2, le=1000)] | None = None

    @model_validator(mode="before")
    @classmethod
    def _list(cls, value: Any) -> Any:
        return {"values": value} if isinstance(value, list) else value

    @model_validator(mode="after")
    def _one_kind(self) -> "Space":
        kinds: dict[str, list[Any]] = {
            "values": [self.values],
            "low and high": [self.low, self.high],
            "mean and deviation": [self.mean, self.deviation],
        }
        given = [values for values in kinds.values() if any(value is not None for value in values)]
        if len(given) != 1 or None in given[0]:
            raise ValueError("must be a list of values, a range with low and high, or a distribution with mean and deviation")
        if self.low is not None and self.high is not None and self.low >= self.high:
            raise ValueError("must have a low below its high")
        smallest = self.low if self.low is not None else self.mean
        if self.scale == "log" and (smallest is None or smallest <= 0):
            raise ValueError("must be a range or distribution above 0 for a log scale")
        if self.points and self.low is None:
            raise ValueError("must have points only with low and high")
        return self

    def __str__(self) -> str:
        """As in the file."""
        return (
            str(self.values) if self.values else ", ".join(f"{key}: {value}" for key, value in self.model_dump(exclude_unset=True).items())
        )

    @property
    def whole(self) -> bool:
        """Whether the values of a range or distribution are whole numbers."""
        return isinstance(self.low if self.low is not None else self.mean, int) and isinstance(self.high or 0, int)


class Prune(Section):
    """When a trial whose scores while training fall behind stops early: below the median of the others' at the same step."""

    after_trials: Count = 4
    after_steps: Number = 0


class Local(Section):
    """Trials on this machine: ``gpus`` for each; ``parallel`` of them at a time, or as many as there are GPUs for."""

    gpus: Processes = 1
    parallel: Processes | None = None


class Ray(Section):
    """Trials as tasks of Ray: of the cluster at ``address`` (RAY_ADDRESS), or of one that is started here."""

    address: Word | None = None
    num_gpus: Annotated[float, Field(ge=0, le=1024)] = 0
    num_cpus: Annotated[float, Field(gt=0, le=1024)] = 1
    retries: Number = 3
    parallel: Processes | None = None


class Slurm(Section):
    """Trials as jobs of Slurm, by submitit. ``options``: its own parameters, such as {slurm_partition: gpu, gpus_per_node: 1}."""

    cluster: Literal["slurm", "local"] = "slurm"
    timeout_min: Count = 24 * 60
    parallel: Processes = 8
    options: dict[str, Any] = Field(default_factory=dict)


class SweepFile(Section):
    """One sweep: which parameters take which values, how they are chosen, what counts, and where trials run."""

    ENGINES: ClassVar = {"launcher", "local", "ray", "slurm", "modal"}
    """Keys that change no result."""

    method: Literal["grid", "random", "tpe"]
    parameters: dict[str, Space]
    fixed: dict[str, Any] = Field(default_factory=dict)
    trials: Count | None = None
    seeds: Annotated[list[Number], Field(min_length=1), AfterValidator(distinct)] | None = None
    objectives: Annotated[list[Objective], AfterValidator(distinct)] = Field(["maximize mean.ndcg@10"], min_length=1)
    prune: Prune | None = None
    seed: Number = 0
    launcher: Launcher = "local"
    local: Local = Local()
    ray: Ray = Ray()
    slurm: Slurm = Slurm()
    modal: Modal = Modal()

    @model_validator(mode="after")
    def _together(self) -> "SweepFile":
        if not self.parameters and not self.seeds:
            raise ValueError("must vary something: give parameters, seeds or both")
        if both := [key for key in self.fixed if key in self.parameters]:
            raise ValueError(f"must name {both[0]} under parameters or under fixed, not both")
        if self.seeds and "seed" in {*self.fixed, *self.parameters}:
            raise ValueError("must give seed by seeds alone")
        if self.method == "grid":
            if self.trials:
                raise ValueError("must have no trials with method grid, which tries all values; remove it")
            if endless := [key for key, space in self.parameters.items() if space.values is None and not space.points]:
                raise ValueError(f"must give {endless[0]} as a list, or with points, for method grid")
        elif self.trials is None:
            raise ValueError(f"must have trials, the number of configurations, with method {self.method}")
        return self

    def goals(self) -> list[tuple[str, bool]]:
        """(metric, whether more is better) of each objective, the most important first."""
        return [(metric, direction == "maximize") for direction, _, metric in (each.partition(" ") for each in self.objectives)]


def read_sweep(path: Path) -> SweepFile:
    """A sweep file.

    Raises:
        UserError: one line for each mistake: the file, the key, the fault and what to do.
    """
    if not NAME.fullmatch(path.stem):
        raise UserError(f"{path}: must have a name of at most 50 letters, digits, '-' and '_', the first a letter or digit; rename it")
    if not path.is_file():
        raise UserError(f"{path}: is missing; docs/sweeps.md says what a sweep file holds, and sweeps/ has examples")
    values = read_yaml(path)
    if wrong := list(mistakes(values)):
        raise UserError("\n".join(f"{path}: {line}" for line in wrong))
    return validated_sweep(values, path)


def validated_sweep(values: Mapping[str, Any], path: Path) -> SweepFile:
    """The content of a sweep file, validated; ``path`` is for the errors, which `read_sweep` describes."""
    try:
        return SweepFile.model_validate(values)
    except ValidationError as error:
        lines = [
            describe(detail, section=SweepFile, of="a sweep file") if detail["loc"] else detail["msg"].removeprefix("Value error, ")
            for detail in error.errors()
        ]
        raise UserError("\n".join(f"{path}: {line}" for line in lines)) from error


def quantile(space: Space, share: float) -> int | float:
    """The value below which ``share`` (0 to 1) of a range or distribution lies.

    >>> quantile(Space(low=0.001, high=0.1, scale="log"), 0.5), quantile(Space(low=8, high=16), 1)
    (0.01, 16)
    """
    from statistics import NormalDist

    down, up = (math.log, math.exp) if space.scale == "log" else (float, float)
    if space.mean is not None and space.deviation is not None:
        value = up(down(space.mean) + space.deviation * NormalDist().inv_cdf(min(max(share, 1e-3), 1 - 1e-3)))
    else:
        assert space.low is not None and space.high is not None
        value = up(down(space.low) + share * (down(space.high) - down(space.low)))
    return round(value) if space.whole else float(f"{value:.4g}")
