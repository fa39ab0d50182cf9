"""What a sweep knows, in small files that are written at once or not at all: the folder sweeps/<name>/, which git ignores.

    sweep.json              what the sweep began with: the commit that every trial runs, the sweep file as last read
    trials/007/trial.json   the settings of trial 7, written before it starts and never changed
    trials/007/progress.jsonl   a line for each log entry of its training run
    trials/007/checkpoints/ of its training run, until there is a result
    trials/007/log.txt      what dvc and the stages printed
    trials/007/queries/     its metrics/queries, for the report
    trials/007/result.json  how it ended; while this is missing, the trial is still to be run

Any process may be killed at any time: who starts again reads these files and nothing else.
"""

import fcntl
import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from stages.config.sweep import SweepFile
from stages.runtime.errors import UserError
from stages.runtime.files import read_json, write_json

State = Literal["done", "failed", "pruned"]
PROGRESS, QUERIES = "progress.jsonl", "queries"
LOCK_SECONDS = 120.0  # a trial whose sweep was killed notices within a second, but on a busy machine it ends later


@dataclass(frozen=True)
class Trial:
    """One training run of a sweep.

    Attributes:
        number: counts the trials of a sweep from 0; a trial keeps it when the sweep file changes.
        configuration: the same for trials that differ only in their seed.
        settings: values by key of params.yaml, such as {"training.learning_rate": 1e-3}; the fixed ones and the seed too.
    """

    number: int
    configuration: int
    settings: dict[str, Any]


@dataclass(frozen=True)
class Result:
    """How a trial ended.

    Attributes:
        state: done; failed for a reason of its own, such as a collapse; pruned: stopped, as its scores fell behind.
        reason: of a trial that is not done.
        metrics: names with dots, as in metrics/evaluation.json, and validation.<name> of the checkpoint that was chosen.
        seconds: wall clock of the last attempt.
        experiment: its name in DVC; None if it has none.
    """

    state: State
    reason: str = ""
    metrics: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    experiment: str | None = None


class Sweep:
    """The folder of a sweep."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.name = folder.name

    @property
    def began_with(self) -> dict[str, Any]:
        """sweep.json: ``commit``, ``identity`` (name and address of git's committer), ``file`` (the sweep file's content)."""
        try:
            values: dict[str, Any] = read_json(self.folder / "sweep.json")
        except ValueError as error:
            raise UserError(f"{self.folder / 'sweep.json'}: is not JSON ({error}); delete the folder to start over") from error
        return values

    @property
    def started(self) -> bool:
        """Whether any trial was ever started."""
        return any(any(self.folder.glob(f"trials/*/{name}")) for name in ("runner.txt", "modal.json", "result.json"))

    def begin(self, **values: Any) -> None:
        """Write sweep.json."""
        write_json(self.folder / "sweep.json", values)

    @property
    def file(self) -> SweepFile:
        """The sweep file as last read."""
        return SweepFile.model_validate(self.began_with["file"])

    def experiment(self, number: int) -> str:
        """The name of a trial's DVC experiment."""
        return f"{self.name}-{number:03d}"

    def place(self, number: int) -> Path:
        """The folder of a trial."""
        return self.folder / "trials" / f"{number:03d}"

    def trials(self) -> list[Trial]:
        """All trials that were ever made, by number."""
        notes = sorted(self.folder.glob("trials/*/trial.json"))
        return [Trial(**read_json(note)) for note in notes]

    def trial(self, number: int) -> Trial:
        note = self.place(number) / "trial.json"
        if not note.is_file():
            raise UserError(f"{note}: is missing; start the sweep with `nordic-sparse sweep`, which writes it")
        return Trial(**read_json(note))

    def add(self, trial: Trial) -> Trial:
        write_json(self.place(trial.number) / "trial.json", asdict(trial))
        return trial

    def result(self, number: int) -> Result | None:
        """How a trial ended; None if it has not."""
        path = self.place(number) / "result.json"
        return Result(**read_json(path)) if path.is_file() else None

    def end(self, number: int, result: Result) -> None:
        """Write a trial's result."""
        write_json(self.place(number) / "result.json", asdict(result))

    def forget(self, number: int) -> None:
        """Remove a trial's result, so that it runs again, from its start."""
        for name in (PROGRESS, "result.json"):
            (self.place(number) / name).unlink(missing_ok=True)

    def progress(self, number: int) -> list[dict[str, Any]]:
        """What a trial's training run has logged, by step: ``step``, ``steps`` (of the whole run), ``time``, ``loss``, ``score``."""
        by_step: dict[int, dict[str, Any]] = {}
        with suppress(OSError):
            for line in (self.place(number) / PROGRESS).read_text(encoding="utf-8").splitlines():
                with suppress(ValueError, KeyError):  # the last line may be half written
                    entry = json.loads(line)
                    by_step[entry["step"]] = by_step.get(entry["step"], {}) | entry  # a resumed run repeats steps
        return [by_step[step] for step in sorted(by_step)]


@contextmanager
def held(path: Path, what: str, seconds: float = LOCK_SECONDS) -> Iterator[None]:
    """Hold a lock file; it is released when the process ends, however it ends.

    Raises:
        UserError: another process still holds it after ``seconds``.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + seconds
    with path.open("a+") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() > deadline:
                    raise UserError(f"{path.parent}: {what} is in use by another process; wait for it to end, or end it") from error
                time.sleep(0.2)
        yield


def flat(values: Mapping[str, Any], above: str = "") -> dict[str, float]:
    """The numbers among nested ``values``, by names with dots.

    >>> flat({"mean": {"ndcg@10": 0.5, "note": "x"}})
    {'mean.ndcg@10': 0.5}
    """
    found: dict[str, float] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{above}{key}.")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            found[f"{above}{key}"] = float(value)
    return found
