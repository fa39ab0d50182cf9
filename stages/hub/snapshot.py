"""The files of a Hub repository at one commit: only those that are needed, each proved by its checksum, resumed where it broke off.

huggingface_hub's own download takes altered bytes of the right length, forgets what a killed process had, and waits as
long as a server asks it to. So the listing and the bodies are read here, with its session, its headers and its errors.
"""

import fcntl
import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote

from huggingface_hub import constants, get_session, hf_hub_url
from huggingface_hub.utils import hf_raise_for_status, tqdm

from stages.hub.manifest import sha256
from stages.hub.repository import AGAIN, ERRORS, Source, explain, headers
from stages.hub.retries import Incomplete, Patience
from stages.runtime.errors import UserError
from stages.runtime.files import remove

WEIGHTS = ".safetensors"
TRIES = 2  # of a file that arrives whole with a wrong checksum


@dataclass(frozen=True)
class RemoteFile:
    """A file as the Hub lists it: large ones by sha256, the others by git's hash of a blob."""

    path: str
    size: int
    blob_id: str
    sha256: str | None

    def is_in(self, path: Path) -> bool:
        """Whether the file at ``path`` is this one, to the last byte."""
        if path.stat().st_size != self.size:
            return False
        if self.sha256 is not None:
            return sha256(path) == self.sha256
        return hashlib.sha1(b"blob %d\0" % self.size + path.read_bytes()).hexdigest() == self.blob_id


@contextmanager
def snapshot(
    source: Source,
    select: Callable[[list[str]], set[str]],
    store: Path,
    *,
    inspect: Callable[[Path], None] | None = None,
    endpoint: str | None = None,
    patience: float = 60.0,
    timeout: float | None = None,
) -> Iterator[tuple[Path, list[RemoteFile]]]:
    """Yield a folder that holds the selected files of ``source`` and nothing else, and the files as the Hub lists them.

    Work is done in ``store/<source>/``, locked for this process. What is there from an interrupted download is used; all
    of it goes when the caller, who moves the folder to its place, is done.

    Args:
        select: which of the repository's paths to bring.
        inspect: called with the folder when all but the weights is in it. What it raises ends the download before they come; the files
            that are there stay for the next one.
        endpoint: of the Hub; HF_ENDPOINT's unless given. patience: see `Patience`. timeout: seconds without a byte,
            HF_HUB_DOWNLOAD_TIMEOUT's unless given.

    Raises:
        UserError: one line that names ``source.key`` and the remedy.
    """
    with _sole_user(store / str(source), source) as place:
        remote = _Remote(source, endpoint, patience, timeout)
        try:
            listed = remote.files()
            selected = select([file.path for file in listed])
            listed = [file for file in listed if file.path in selected]
            _prune(place / "files", selected)
            with tqdm(total=sum(file.size for file in listed), desc=source.repo, unit="B", unit_scale=True, delay=2, disable=None) as bar:
                large = [file for file in listed if file.path.endswith(WEIGHTS)]
                for files, then in (([file for file in listed if file not in large], inspect), (large, None)):
                    for file in files:
                        remote.bring(file, place / "files" / file.path, place / "parts" / file.path, bar.update)
                    if then:
                        then(place / "files")
        except ERRORS as error:
            raise explain(error, source, remote.endpoint, place) from error
        (place / "files").mkdir(exist_ok=True)
        yield place / "files", listed
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

    def files(self) -> list[RemoteFile]:
        """All files of the repository, page by page."""
        revision = quote(self.source.revision, safe="")
        url: str | None = f"{self.endpoint}/api/{self.source.repo_type}s/{self.source.repo}/tree/{revision}?recursive=true"
        files: list[RemoteFile] = []
        while url:
            try:
                response = get_session().get(url, headers=self.headers, timeout=self.timeout)
                hf_raise_for_status(response)
                rows = response.json()
                if not isinstance(rows, list):
                    raise Incomplete("the answer is no listing of files")
            except ERRORS as error:
                self.patience.endure(error)
                continue
            self.patience.renew()
            files += [_remote_file(row, self.source) for row in rows if row["type"] == "file"]
            url = response.links.get("next", {}).get("url")
        return files

    def bring(self, file: RemoteFile, target: Path, part: Path, progress: Callable[[int], Any]) -> None:
        """Make ``target`` the file, going on from the bytes in ``part``; nothing is asked for where it stands there already."""
        for folder in (target.parent, part.parent):
            folder.mkdir(parents=True, exist_ok=True)
        if target.is_file() and file.is_in(target):
            progress(file.size)
            return
        remove(target)
        part.touch()
        progress(part.stat().st_size)
        for _ in range(TRIES):
            self._fill(file, part, progress)
            if file.is_in(part):
                part.replace(target)
                self.patience.renew()
                return
            progress(-part.stat().st_size)
            part.write_bytes(b"")
        raise UserError(
            f"{self.source.key}: {file.path} of {self.source.repo} came {TRIES} times with a checksum that is not the Hub's; "
            f"something on the way alters it: check proxies and HF_ENDPOINT, then {AGAIN}"
        )

    def _fill(self, file: RemoteFile, part: Path, progress: Callable[[int], Any]) -> None:
        """Let ``part`` grow to the size of the file, over as many requests as it takes."""
        furthest = part.stat().st_size
        while part.stat().st_size < file.size:
            try:
                self._append(file, part, progress)
            except ERRORS as error:
                if part.stat().st_size > furthest:
                    furthest = part.stat().st_size
                    self.patience.renew()
                self.patience.endure(error)

    def _append(self, file: RemoteFile, part: Path, progress: Callable[[int], Any]) -> None:
        """One request for the bytes that ``part`` lacks; Incomplete where fewer came."""
        start = part.stat().st_size
        url = hf_hub_url(
            self.source.repo, file.path, repo_type=self.source.repo_type, revision=self.source.revision, endpoint=self.endpoint
        )
        asking = {**self.headers, "Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})
        with get_session().stream("GET", url, headers=asking, timeout=self.timeout, follow_redirects=True) as response:
            hf_raise_for_status(response)
            resumed = response.status_code == 206 and response.headers.get("Content-Range", "").startswith(f"bytes {start}-")
            if start and not resumed:
                progress(-start)
            with part.open("ab" if resumed else "wb", buffering=0) as out:
                for chunk in response.iter_bytes():
                    out.write(chunk)
                    progress(len(chunk))
                    if out.tell() > file.size:
                        return
        if (size := part.stat().st_size) < file.size:
            raise Incomplete(f"{file.path} broke off at {size:,} of {file.size:,} bytes")


def _remote_file(row: dict[str, Any], source: Source) -> RemoteFile:
    path = PurePosixPath(row["path"])
    if path.is_absolute() or ".." in path.parts or "\\" in row["path"]:
        raise UserError(f"{source.key}: {source.repo} lists a file outside its folder ({row['path']}); do not use this repository")
    return RemoteFile(row["path"], row["size"], row["oid"], row["lfs"]["oid"] if row.get("lfs") else None)


def _prune(folder: Path, names: set[str]) -> None:
    """Remove what an earlier download of the same commit brought and nobody wants now."""
    for path in [path for path in folder.rglob("*") if path.is_file()]:
        if path.relative_to(folder).as_posix() not in names:
            path.unlink()


@contextmanager
def _sole_user(place: Path, source: Source) -> Iterator[Path]:
    """Hold the lock on a download's folder; it goes with the process, however that ends."""
    place.mkdir(parents=True, exist_ok=True)
    handle = os.open(place, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError(f"{source.key}: another process is downloading {source.repo} into {place}; let it end, or end it") from error
        yield place
    finally:
        os.close(handle)
