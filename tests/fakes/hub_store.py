"""The state of a loopback Hub: repositories as commits of files, and the faults that are switched on.

Contents live in memory. Object ids are the Hub's own: git's blob hash for a regular file, sha256 for one that the Hub's
default .gitattributes sends to large file storage (LFS).
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

LFS_SUFFIXES = (
    ".7z", ".arrow", ".bin", ".bz2", ".ckpt", ".ftz", ".gz", ".h5", ".joblib", ".model", ".msgpack", ".npy", ".npz",
    ".onnx", ".ot", ".parquet", ".pb", ".pickle", ".pkl", ".pt", ".pth", ".rar", ".safetensors", ".tar", ".tgz", ".xz",
    ".zip", ".zst",
)  # fmt: skip
LFS_SIZE = 10 * 1024 * 1024  # larger files go to LFS whatever their name
GITATTRIBUTES = "".join(f"*{suffix} filter=lfs diff=lfs merge=lfs -text\n" for suffix in LFS_SUFFIXES).encode()

Contents = Mapping[str, bytes | Path] | Path


def is_lfs(path: str, size: int) -> bool:
    """Whether the Hub keeps a file of this name and size in large file storage."""
    return path.endswith(LFS_SUFFIXES) or size > LFS_SIZE


def git_oid(content: bytes) -> str:
    """Git's hash of a blob, 40 hexadecimal digits."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def oid(path: str, content: bytes) -> str:
    """The id by which the Hub's etag and preupload name a file: sha256 for LFS, git's hash otherwise."""
    return hashlib.sha256(content).hexdigest() if is_lfs(path, len(content)) else git_oid(content)


def entry(path: str, content: bytes) -> dict[str, Any]:
    """One file of a tree listing."""
    size = len(content)
    if not is_lfs(path, size):
        return {"type": "file", "path": path, "size": size, "oid": git_oid(content)}
    sha = hashlib.sha256(content).hexdigest()
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha}\nsize {size}\n".encode()
    lfs = {"oid": sha, "size": size, "pointerSize": len(pointer)}
    return {"type": "file", "path": path, "size": size, "oid": git_oid(pointer), "lfs": lfs}


def listing(files: Mapping[str, bytes]) -> list[dict[str, Any]]:
    """All files and folders, as the Hub's recursive tree lists them."""
    folders = {str(parent) for path in files for parent in list(PurePosixPath(path).parents)[:-1]}
    rows = [{"type": "directory", "path": folder, "size": 0, "oid": git_oid(folder.encode())} for folder in folders]
    return sorted([*rows, *(entry(path, content) for path, content in files.items())], key=lambda row: str(row["path"]))


def read(files: Contents) -> dict[str, bytes]:
    """A mapping of names to bytes or paths, or a folder, as names and bytes."""
    if isinstance(files, Path):
        files = {path.relative_to(files).as_posix(): path for path in sorted(files.rglob("*")) if path.is_file()}
    return {name: content.read_bytes() if isinstance(content, Path) else content for name, content in files.items()}


@dataclass(frozen=True)
class Commit:
    """One commit: all files of the repository after it."""

    oid: str
    message: str
    files: dict[str, bytes]
    branch: str = "main"


@dataclass
class Repo:
    """A model or data set repository; ``private`` and ``gated`` say who may read it."""

    kind: str
    id: str
    private: bool = False
    gated: bool = False
    granted: bool = False  # a gated repository whose terms the token's user has accepted
    commits: list[Commit] = field(default_factory=list)
    refs: dict[str, str] = field(default_factory=dict)

    def commit(self, files: dict[str, bytes], message: str, branch: str = "main", revision: str | None = None) -> Commit:
        """Make ``files`` the whole content of ``branch``; its id is ``revision`` or comes from what it holds."""
        names = "".join(f"{name} {git_oid(content)}\n" for name, content in sorted(files.items()))
        text = f"{self.kind} {self.id} {len(self.commits)} {message}\n{names}"
        commit = Commit(revision or hashlib.sha1(text.encode()).hexdigest(), message, files, branch)
        self.commits.append(commit)
        self.refs[branch] = commit.oid
        return commit

    def at(self, revision: str) -> Commit | None:
        """The commit that a branch name, or a commit id of at least 7 digits, stands for."""
        wanted = self.refs.get(revision, revision)
        short = re.fullmatch("[0-9a-f]{7,40}", wanted)
        return next((commit for commit in self.commits if short and commit.oid.startswith(wanted)), None)


@dataclass
class Fault:
    """Something that goes wrong with the first ``times`` requests whose method and unquoted path match."""

    kind: str  # fail, reset, truncate, corrupt, delay
    matching: re.Pattern[str]
    times: float
    methods: tuple[str, ...] | None = None
    status: int = 503
    headers: Mapping[str, str] = field(default_factory=dict)
    after: int | None = None
    seconds: float = 0.0

    def takes(self, method: str, path: str) -> bool:
        """Whether it strikes this request; if so, one of its times is used up."""
        strikes = self.times > 0 and (not self.methods or method in self.methods) and self.matching.search(path)
        self.times -= 1 if strikes else 0
        return bool(strikes)
