"""The runs that git has recorded: metrics/summary.json of each DVC experiment and of the latest commits that changed it.

`dvc exp show --json` says the same and takes seconds.
"""

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from math import isclose
from pathlib import Path

COMMITS = 20
KEYS = {"bm25", "ndcg@10", "query_dims", "corpus_dims"}


@dataclass(frozen=True)
class Run:
    """A recorded run: an experiment with its name, or a commit; ``dims`` are the mean active dimensions of a document."""

    name: str
    experiment: bool
    ndcg: float
    query_dims: float
    dims: float


def recorded(summary: Path, bm25: float) -> list[Run]:
    """The recorded runs that were evaluated on the same sets as this one: those with the same score of the better BM25, ``bm25``.

    Args:
        summary: metrics/summary.json, relative to the root of the repository.

    Empty without git, or if it does not answer.
    """
    runs: dict[tuple[float, float], Run] = {}
    try:
        for name, commit, experiment in _commits(summary):
            values = _json(_git("show", f"{commit}:{summary.as_posix()}"))
            if values.keys() >= KEYS and isclose(values["bm25"], bm25, rel_tol=1e-6):
                run = Run(name, experiment, values["ndcg@10"], values["query_dims"], values["corpus_dims"])
                runs.setdefault((round(run.ndcg, 6), round(run.dims, 3)), run)
    except (OSError, subprocess.SubprocessError):
        return []
    return sorted(runs.values(), key=lambda run: run.dims)


def _commits(summary: Path) -> Iterator[tuple[str, str, bool]]:
    """Name and id of each commit that may hold another run, and whether it is an experiment; these first, newest first."""
    for line in _git("for-each-ref", "--sort=-creatordate", "--format=%(refname) %(objectname)", "refs/exps").splitlines():
        ref, commit = line.split()
        if ref.count("/") == 4:  # refs/exps/<2 digits>/<38 digits>/<name>; others are dvc's own
            yield ref.rpartition("/")[2], commit, True
    for commit in _git("log", f"-{COMMITS}", "--format=%H", "--", summary.as_posix()).splitlines():
        yield commit[:7], commit, False


def _json(text: str) -> dict[str, float]:
    """A mapping of numbers; empty if the text is anything else."""
    try:
        values = json.loads(text)
    except ValueError:
        return {}
    return {key: value for key, value in values.items() if isinstance(value, int | float)} if isinstance(values, dict) else {}


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=10)
    return done.stdout if done.returncode == 0 else ""
