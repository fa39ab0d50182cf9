"""Where a run's data, settings and code come from, as the page lists them."""

import platform
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from stages.evaluate.summary import REASONS
from stages.hub.manifest import read_licence

LOCAL, SAMPLE, OWN_LICENCE = "local", "built-in sample", "MIT, as this project"


@dataclass(frozen=True)
class DataSet:
    """A training or evaluation set.

    Attributes:
        source: a repository of the Hub with its revision, "local" or "built-in sample".
        read, used: training rows; None for an evaluation set.
        left_out: why the other rows are not used, with their number.
    """

    name: str
    source: str
    licence: str | None
    read: int | None = None
    used: int | None = None
    left_out: Mapping[str, int] | None = None


def training_sets(origins: Mapping[str, Any], formatted: Mapping[str, Any], mixed: Mapping[str, Any], folder: Path) -> list[DataSet]:
    """The training sets.

    Args:
        origins: ``datasets`` of resolved/push.yaml.
        formatted, mixed: metrics/data.json and metrics/mix.json.
        folder: has a folder with a manifest for each set.
    """
    found = []
    for name, counts in mixed.get("sources", {}).items():
        origin, train = origins.get(name, {}), formatted.get(name, {}).get("train", {})
        left_out = {**train.get("dropped", {}), **{reason: counts.get(key, 0) for key, reason in REASONS.items()}}
        licence = _licence(origin, folder / name)
        kept = {reason: number for reason, number in left_out.items() if number}
        found.append(DataSet(name, _source(origin), licence, train.get("read"), counts.get("used"), kept))
    return found


def evaluation_sets(origins: Mapping[str, Any], tasks: Mapping[str, Any], folder: Path) -> list[DataSet]:
    """The entries of evaluation.sets and the MTEB tasks that were used.

    Args:
        origins, tasks: resolved/download_eval.yaml and resolved/download_mteb.yaml.
        folder: has a folder with a manifest for each entry.
    """
    own = [DataSet(name, _source(origin), _licence(origin, folder / name)) for name, origin in origins.items()]
    return own + [
        DataSet(task, LOCAL if tasks.get("path") else "MTEB, at the revision that it pins", None) for task in tasks.get("tasks") or ()
    ]


def _source(origin: Mapping[str, Any]) -> str:
    if origin.get("sample"):
        return SAMPLE
    if origin.get("benchmark"):
        return f"{origin['benchmark']}, {origin.get('subset')}" if origin.get("subset") else str(origin["benchmark"])
    if origin.get("repo"):
        return f"{origin['repo']} at {str(origin.get('revision'))[:7]}"
    return LOCAL


def _licence(origin: Mapping[str, Any], folder: Path) -> str | None:
    """The licence of params.yaml, or else that of the manifest in the set's folder."""
    licence: str | None = OWN_LICENCE if origin.get("sample") else origin.get("license") or read_licence(folder)
    return licence


def flat(values: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Keys of nested mappings, joined by dots, with their values.

    >>> dict(flat({"loss": {"a": 1}, "seed": 2}))
    {'loss.a': 1, 'seed': 2}
    """
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value


def versions(package: str) -> dict[str, str]:
    """Python, the system, and each installed package that ``package`` requires, with its version."""
    try:
        required = metadata.requires(package) or []
    except metadata.PackageNotFoundError:
        required = []
    names = [match[0] for line in required if "extra ==" not in line and (match := re.match(r"[\w.-]+", line))]
    found = {"Python": platform.python_version(), "system": f"{platform.system()} {platform.machine()}"}
    for name in sorted(names, key=str.lower):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found
