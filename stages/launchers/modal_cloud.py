"""Trials on Modal (https://modal.com/docs): one app, volumes that outlive its containers, and calls that outlive this process.

A container runs `stages.launchers.container`. Its volumes hold DVC's cache with the finished experiments (nordic-sparse-cache), unfinished
downloads (nordic-sparse-data), and the sweeps' folders with the checkpoints of unfinished runs (nordic-sparse-runs). Each checkpoint is
committed once it is complete, so that a container that dies loses the steps since then, and the retry resumes.

A sweep deploys the app and spawns a call for each trial: `modal run --detach` would keep only the last call if this process ended, and
`map` gives nothing to find a call again by. No module may be named modal.py: with its folder on the path it would shadow the package.
"""

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from io import BytesIO
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any

from stages.config.cloud import Modal
from stages.launchers.bundles import bundle_code, fetch_outputs, unbundle_experiments
from stages.launchers.container import CODE, DVC, EXPERIMENTS, RECORDS, Job, Store, run
from stages.runtime.errors import UserError
from stages.runtime.files import atomic_write
from stages.sweeps.state import QUERIES

try:
    import modal as modal  # for modal_launcher too, so that both say what to install
    from modal.exception import AuthError, ConnectionError, NotFoundError
except ModuleNotFoundError as error:
    raise UserError("modal: is not installed; install it with `python -m pip install modal==1.6.4`, then run `modal setup`") from error

APP = "nordic-sparse"
MOUNTS = Path("/store")
"""Where a container has the volumes."""
WORK = Path("/tmp/nordic-sparse")
"""The container's own disk."""
LOCK = Path(__file__).parents[2] / "requirements.lock"
LONGEST = 24 * 3600  # seconds that Modal lets a call run at most

app = modal.App(APP)
volumes = {name: modal.Volume.from_name(f"{APP}-{name}", create_if_missing=True, version=2) for name in ("cache", "data", "runs")}
image = modal.Image.debian_slim().apt_install("git").pip_install_from_requirements(str(LOCK))


@app.function(image=image, volumes={f"{MOUNTS}/{name}": volume for name, volume in volumes.items()}, timeout=LONGEST)
def train(job: dict[str, Any]) -> str | None:
    """Run a `Job`, given as a mapping, in a container. See `container.run` for what comes back."""
    store = Store(**{name: MOUNTS / name for name in volumes}, commit=_each("commit"), reload=_each("reload"))
    return run(Job(**job), store, WORK)


def _each(method: str) -> Callable[[], None]:
    """Call a method of every volume. One that is in use goes on: Modal commits it soon by itself, and when the container ends."""

    def call() -> None:
        for name, volume in volumes.items():
            try:
                getattr(volume, method)()
            except RuntimeError as error:
                print(f"volume {name}: cannot {method} now ({error})", flush=True)

    return call


def options(settings: Modal) -> dict[str, Any]:
    """Arguments of `modal.Function.with_options`. Secrets are named; their values stay on Modal."""
    secrets = filter(None, [settings.huggingface_secret, settings.mlflow_secret])
    return {
        "gpu": None if settings.gpu == "none" else settings.gpu,
        "timeout": round(settings.timeout_hours * 3600),
        "region": settings.region,
        "retries": modal.Retries(max_retries=settings.retries, backoff_coefficient=1.0, initial_delay=5.0),
        "secrets": [modal.Secret.from_name(name) for name in secrets],
    }


def upload_code(checkout: Path, reference: str, commit: str) -> None:
    """Put the commit that a ref names into the cache volume, unless it is there."""
    with TemporaryDirectory() as folder, suppress(FileExistsError):
        bundle_code(checkout, [reference], bundle := Path(folder) / "code.bundle")
        with volumes["cache"].batch_upload() as batch:
            batch.put_file(bundle, f"/{CODE}/{commit}.bundle")


def fetch_records(sweep: str, number: int, folder: Path, *, ended: bool = True) -> None:
    """Bring what the store has of a trial's records into its folder here, its result and its queries' scores only if it has ``ended``."""
    place = f"{sweep}/trials/{number:03d}"
    queries = [f"{QUERIES}/{Path(entry).name}" for entry in _listed("runs", f"{place}/{QUERIES}")] if ended else []
    for name in [*queries, *(RECORDS if ended else RECORDS[:-1])]:
        with suppress(FileNotFoundError), atomic_write(folder / name) as temporary:
            temporary.write_bytes(_read("runs", f"{place}/{name}"))


def fetch_experiment(name: str, checkout: Path) -> list[str]:
    """Bring a finished experiment into a checkout, without the files in DVC's cache; its commits.

    Raises:
        UserError: it belongs to a commit that the checkout does not have.
    """
    with TemporaryDirectory() as folder:
        bundle = Path(folder) / "experiment.bundle"
        bundle.write_bytes(_read("cache", f"{EXPERIMENTS}/{name}.bundle"))
        return [*unbundle_experiments(bundle, checkout).values()]


def fetch(checkout: Path, cache: Path, names: Collection[str] = ()) -> Iterator[tuple[str, int | None]]:
    """Bring finished experiments, or all if ``names`` is empty, into a checkout and their files into the DVC cache ``cache``.

    Yields:
        Each name with the number of files that were missing; None: without ``names``, one of another checkout, which is left there.

    Raises:
        UserError: an experiment is not there, or `fetch_experiment` fails.
    """
    there = sorted(PurePosixPath(path).stem for path in _listed("cache", EXPERIMENTS))
    if missing := sorted(set(names) - set(there)):
        raise UserError(f"{', '.join(missing)}: not finished on Modal; it has {', '.join(there) or 'no experiment'}")
    for name in names or there:
        try:
            commits = fetch_experiment(name, checkout)
        except UserError:
            if names:
                raise
            yield name, None  # the account may serve several checkouts
            continue
        yield (
            name,
            sum(fetch_outputs(commit, checkout, cache, lambda path: volumes["cache"].read_file(f"{DVC}/{path}")) for commit in commits),
        )


def _listed(volume: str, folder: str) -> list[str]:
    """The paths in a folder of a volume; none if there is no such folder."""
    with suppress(NotFoundError, FileNotFoundError):
        return [entry.path for entry in volumes[volume].iterdir(folder, recursive=False)]
    return []


def _read(volume: str, path: str) -> bytes:
    """The content of a file of a volume.

    Raises:
        FileNotFoundError: there is none.
    """
    content = BytesIO()
    for chunk in volumes[volume].read_file(path):
        content.write(chunk)
    return content.getvalue()


@contextmanager
def modal_errors() -> Iterator[None]:
    """Turn the client's errors about the account and the connection into a `UserError`."""
    try:
        yield
    except AuthError as error:
        raise UserError(f"modal: no access ({error}); run `modal setup`, or set MODAL_TOKEN_ID and MODAL_TOKEN_SECRET") from error
    except ConnectionError as error:
        raise UserError(f"modal: cannot be reached ({error}); what runs there goes on, so run the command again later") from error
