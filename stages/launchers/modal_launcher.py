"""Trials as calls on Modal, many at once; what a call runs is in `stages.launchers.modal_cloud`."""

import time
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from aiohttp import ClientError

from stages.config.cloud import Modal, refuse_own_paths
from stages.launchers.container import job_of
from stages.launchers.modal_cloud import APP, app, fetch_experiment, fetch_records, modal, modal_errors, options, upload_code
from stages.runtime.errors import UserError
from stages.runtime.files import read_json, write_json
from stages.sweeps.state import Sweep
from stages.sweeps.trial import KILLED

failures = modal.exception
PASSING = (
    failures.ConnectionError,
    failures.ServiceError,
    failures.InternalError,
    failures.ResourceExhaustedError,
    ClientError,
    ConnectionResetError,
)
"""Errors of a connection that may be back soon."""


class ModalLauncher:
    """See `stages.sweeps.launcher.Launcher`.

    A trial's call is noted in its folder, trials/<number>/modal.json, until its end is known. So a sweep that was killed, or that lost its
    connection, finds its calls again, running or done.

    Args:
        folder: the sweep's.
        checkout: the repository with refs/sweeps/<name>. Experiments come into it; `nordic-sparse modal fetch` brings their files.
    """

    LOOK = 2.0  # seconds between two looks at the calls
    REPORT = 15.0  # seconds between two looks at the records of running trials
    PATIENCE = 600.0  # seconds without Modal until the sweep ends

    def __init__(self, folder: Path, settings: Modal, checkout: Path) -> None:
        self._sweep, self._checkout, self._settings = Sweep(folder), checkout, settings
        self.slots = settings.parallel
        self._calls: dict[int, modal.FunctionCall[str | None]] = {}
        self._preparing: set[int] = set()
        self._ready: set[int] = set()
        self._function: modal.Function | None = None
        self._looked = self._reported = 0.0
        self._reached = time.monotonic()

    def start(self, number: int, *, prepare: bool = False) -> None:
        note = self._note(number)
        if prepare and self._prepared():
            self._ready.add(number)
            return
        with modal_errors():
            if noted := read_json(note):
                self._calls[number] = modal.FunctionCall.from_id(noted["call"])
                prepare = noted["prepare"]
            else:
                refuse_own_paths(self._sweep.trial(number).settings)
                self._calls[number] = call = self._deployed(prepare).spawn(asdict(job_of(self._sweep, number, prepare)))
                write_json(note, {"call": call.object_id, "prepare": prepare})
        self._preparing = self._preparing | {number} if prepare else self._preparing - {number}

    def poll(self) -> dict[int, int]:
        ended = dict.fromkeys(self._ready, 0)
        self._ready.clear()
        if time.monotonic() - self._looked < self.LOOK:
            return ended
        with modal_errors():
            try:
                for number in [*self._calls]:
                    if (status := self._status(number)) is not None:
                        ended[number] = status
                        del self._calls[number]
                        self._note(number).unlink(missing_ok=True)
                if self._calls and time.monotonic() - self._reported > self.REPORT:
                    for number in self._calls:
                        fetch_records(self._sweep.name, number, self._sweep.place(number), ended=False)
                    self._reported = time.monotonic()
                self._reached = time.monotonic()
            except PASSING as error:
                if time.monotonic() - self._reached > self.PATIENCE:
                    raise UserError(
                        f"modal: has not answered for {self.PATIENCE:.0f} s ({error}); its trials go on, so run the command again later"
                    ) from error
        self._looked = time.monotonic()
        return ended

    def stop(self) -> None:
        for number, call in self._calls.items():
            with suppress(failures.Error, OSError):  # cannot be reached: the call goes on, and its note stays
                call.cancel(terminate_containers=True)
                self._note(number).unlink(missing_ok=True)
        self._calls.clear()

    def _status(self, number: int) -> int | None:
        """The exit status of a trial that has ended, with its records and results brought here; None while it runs."""
        try:
            error = self._calls[number].get(timeout=0)
            status = 2 if error else 0
        except TimeoutError:  # Python's own, an OSError: it runs
            return None
        except (failures.AuthError, *PASSING):
            raise
        except Exception:  # whatever the container raised, after all retries; or the call is too old to be remembered
            status = KILLED
        fetch_records(self._sweep.name, number, self._sweep.place(number))
        result = self._sweep.result(number)
        if status == 0 and number not in self._preparing and result and result.experiment:
            fetch_experiment(result.experiment, self._checkout)
        return status

    def _prepared(self) -> bool:
        """Whether an earlier start of the sweep has trials on Modal: then the stages before train have run there."""
        return any(not read_json(note)["prepare"] for note in self._sweep.folder.glob("trials/*/modal.json"))

    def _deployed(self, prepare: bool) -> modal.Function:
        """The function of the app, which is deployed with the sweep's code the first time; on a CPU for the stages before train."""
        if self._function is None:
            upload_code(self._checkout, f"refs/sweeps/{self._sweep.name}", self._sweep.began_with["commit"])
            app.deploy()
            self._function = modal.Function.from_name(APP, "train")
        settings = self._settings.model_copy(update={"gpu": "none"}) if prepare else self._settings
        return self._function.with_options(**options(settings))

    def _note(self, number: int) -> Path:
        return self._sweep.place(number) / "modal.json"


def open_launcher(folder: Path, settings: Modal, cache: Path) -> ModalLauncher:
    """The launcher of a sweep in this checkout, whose DVC cache stays as it is."""
    return ModalLauncher(folder, settings, Path())
