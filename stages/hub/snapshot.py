"""Downloads selected files of a Hub repository at one commit. Each file is checked against its checksum; a killed download resumes.

huggingface_hub's own download accepts altered bytes of the right length, starts a killed file over, and waits as long as a server
asks. So the listing and the bodies are read here, with its session, headers, types and errors.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote

from filelock import FileLock, Timeout
from huggingface_hub import constants, get_session, hf_hub_url
from huggingface_hub.hf_api import RepoFile
from huggingface_hub.utils import hf_raise_for_status, tqdm
from huggingface_hub.utils.sha import git_hash

from stages.hub.manifest import sha256
from stages.hub.repository import AGAIN, ERRORS, Source, explain, headers
from stages.hub.retries import Incomplete, Patience
from stages.runtime.errors import UserError
from stages.runtime.files import remove

WEIGHTS = ".safetensors"
TRIES = 2  # of a file whose checksum is wrong

Fetch = Callable[[set[str]], Path]
"""Downloads these paths at once and returns the folder that holds them."""
Select = Callable[[list[str], Fetch], set[str]]
"""All paths of a repository → those to download."""


@contextmanager
def snapshot(
    source: Source,
    select: Select,
    store: Path,
    *,
    inspect: Callable[[Path], None] | None = None,
    endpoint: str | None = None,
    patience: float = 60.0,
    timeout: float | None = None,
) -> Iterator[tuple[Path, list[RepoFile]]]:
    """Yield a folder that holds the selected files of ``source`` and nothing else, and the files as the Hub lists them.

    The work is done in ``store/<source>/``, locked for this process. Files of an interrupted download are used again. The folder is
    removed when the caller, who moves the files to their place, is done.

    Args:
        select: chooses among the repository's paths; may first fetch some of them, such as the card.
        inspect: called with the folder when it holds everything but the weights. If it raises, the download ends there; what is
            downloaded stays for the next one.
        endpoint: of the Hub; default HF_ENDPOINT. patience: see `Patience`. timeout: seconds without a byte, default
            HF_HUB_DOWNLOAD_TIMEOUT.

    Raises:
        UserError: one line that names ``source.key`` and the remedy.
    """
    with _lock(store / str(source), source) as place:
        remote = _Remote(source, endpoint, patience, timeout)
        try:
            listed = remote.files()

            def fetch(names: set[str]) -> Path:
                files = [file for file in listed if file.path in names]
                size = sum(file.size for file in files)
                with tqdm(total=size, desc=source.repo, unit="B", unit_scale=True, delay=2, disable=None) as bar:
                    for file in files:
                        remote.fetch(file, place / "files" / file.path, place / "parts" / file.path, bar)
                return place / "files"

            (place / "files").mkdir(exist_ok=True)
            selected = select([file.path for file in listed], fetch)
            _prune(place / "files", selected)
            weights = {path for path in selected if path.endswith(WEIGHTS)}
            fetch(selected - weights)
            if inspect:
                inspect(place / "files")
            fetch(weights)
        except ERRORS as error:
            raise explain(error, source, remote.endpoint, place) from error
        yield place / "files", [file for file in listed if file.path in selected]
        remove(place)
    with suppress(OSError):  # another download is under way there
        store.rmdir()


class _Remote:
    """A repository on the Hub; every request is tried again while patience lasts."""

    def __init__(self, source: Source, endpoint: str | None, patience: float, timeout: float | None) -> None:
        self.source = source
        self.endpoint = (endpoint or constants.ENDPOINT).rstrip("/")
        self.patience = Patience(patience, source.key)
        self.timeout = timeout or constants.HF_HUB_DOWNLOAD_TIMEOUT
        self.headers = headers(source)

    def files(self) -> list[RepoFile]:
        """All files of the repository, page by page."""
        revision = quote(self.source.revision, safe="")
        url: str | None = f"{self.endpoint}/api/{self.source.repo_type}s/{self.source.repo}/tree/{revision}?recursive=true"
        files: list[RepoFile] = []
        while url:
            rows, url = self.patience.attempt(partial(self._page, url))
            files += [_repo_file(row, self.source) for row in rows if row["type"] == "file"]
        return files

    def _page(self, url: str) -> tuple[list[dict[str, Any]], str | None]:
        response = get_session().get(url, headers=self.headers, timeout=self.timeout)
        hf_raise_for_status(response)
        if not isinstance(rows := response.json(), list):
            raise Incomplete("the answer is not a listing of files")
        return rows, response.links.get("next", {}).get("url")

    def fetch(self, file: RepoFile, target: Path, part: Path, bar: tqdm) -> None:
        """Make ``target`` the file, starting from the bytes in ``part``. Nothing is requested if ``target`` is the file already."""
        before = bar.n

        def show(size: int) -> None:
            bar.update(before + size - bar.n)

        for folder in (target.parent, part.parent):
            folder.mkdir(parents=True, exist_ok=True)
        if target.is_file() and _matches(target, file):
            show(file.size)
            return
        remove(target)
        part.touch()
        for _ in range(TRIES):
            self._fill(file, part, show)
            if _matches(part, file):
                part.replace(target)
                self.patience.renew()
                return
            part.write_bytes(b"")
        raise UserError(
            f"{self.source.key}: {file.path} of {self.source.repo} arrived {TRIES} times with a wrong checksum, altered between the Hub "
            f"and here; check proxies and HF_ENDPOINT, then {AGAIN}"
        )

    def _fill(self, file: RepoFile, part: Path, show: Callable[[int], None]) -> None:
        """Let ``part`` grow to the size of the file, over as many requests as it takes."""
        furthest = part.stat().st_size
        while part.stat().st_size < file.size:
            try:
                self._append(file, part, show)
            except ERRORS as error:
                if part.stat().st_size > furthest:
                    furthest = part.stat().st_size
                    self.patience.renew()
                self.patience.endure(error)

    def _append(self, file: RepoFile, part: Path, show: Callable[[int], None]) -> None:
        """One request for the bytes that ``part`` lacks; Incomplete if fewer came."""
        start = part.stat().st_size
        url = hf_hub_url(
            self.source.repo, file.path, repo_type=self.source.repo_type, revision=self.source.revision, endpoint=self.endpoint
        )
        asking = {**self.headers, "Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})
        with get_session().stream("GET", url, headers=asking, timeout=self.timeout, follow_redirects=True) as response:
            hf_raise_for_status(response)
            resumed = response.status_code == 206 and response.headers.get("Content-Range", "").startswith(f"bytes {start}-")
            with part.open("ab" if resumed else "wb", buffering=0) as out:
                for chunk in response.iter_bytes():
                    out.write(chunk)
                    show(out.tell())
                    if out.tell() > file.size:
                        return
        if (size := part.stat().st_size) < file.size:
            raise Incomplete(f"{file.path} broke off at {size:,} of {file.size:,} bytes")


def _repo_file(row: dict[str, Any], source: Source) -> RepoFile:
    path = PurePosixPath(row["path"])
    if path.is_absolute() or ".." in path.parts or "\\" in row["path"]:
        raise UserError(f"{source.key}: {source.repo} lists a file outside its folder ({row['path']}); do not use this repository")
    return RepoFile(**row)


def _matches(path: Path, file: RepoFile) -> bool:
    """Whether ``path`` is the file to the last byte. The Hub lists large files by sha256, the others by git's hash of a blob."""
    if path.stat().st_size != file.size:
        return False
    return sha256(path) == file.lfs.sha256 if file.lfs else git_hash(path.read_bytes()) == file.blob_id


def _prune(folder: Path, names: set[str]) -> None:
    """Remove files that an earlier download of the same commit left and that are no longer selected."""
    for path in [path for path in folder.rglob("*") if path.is_file()]:
        if path.relative_to(folder).as_posix() not in names:
            path.unlink()


@contextmanager
def _lock(place: Path, source: Source) -> Iterator[Path]:
    """Lock a download's folder; the lock ends with the process, however that ends."""
    place.mkdir(parents=True, exist_ok=True)
    try:
        held = FileLock(place / "lock").acquire(blocking=False)
    except Timeout as error:
        raise UserError(f"{source.key}: another process is downloading {source.repo} into {place}; let it end, or end it") from error
    with held:
        yield place
