"""The Hub's endpoints, one method each: from a request to an answer, over the repositories of `tests.fakes.hub_store`.

Paths, payloads, headers and error codes are those that huggingface_hub 2.4 sends and reads (hf_api.py, _commit_api.py,
lfs.py, file_download.py, utils/_http.py).
"""

import base64
import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote

import yaml

from tests.fakes.hub_store import GITATTRIBUTES, Commit, Repo, entry, is_lfs, listing, oid

DATE = "2026-01-01T00:00:00.000Z"
HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


@dataclass
class Answer:
    """Status, headers and body of a response."""

    status: int = HTTPStatus.OK
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


def as_json(value: Any, status: int = HTTPStatus.OK, headers: dict[str, str] | None = None) -> Answer:
    """A JSON response."""
    return Answer(status, json.dumps(value).encode(), {"Content-Type": "application/json; charset=utf-8"} | (headers or {}))


class HubError(Exception):
    """An error response; ``code`` is the Hub's X-Error-Code, from which huggingface_hub chooses its exception."""

    def __init__(self, status: int, message: str, code: str | None = None, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        extra = {"X-Error-Message": message} | ({"X-Error-Code": code} if code else {}) | (headers or {})
        self.answer = as_json({"error": message}, status, extra)


@dataclass(frozen=True)
class Call:
    """A request that has been routed and authenticated."""

    method: str
    part: dict[str, str | None]  # the named groups of its route, unquoted
    headers: dict[str, str]
    body: bytes
    writes: bool | None  # whether the token may write; None without a token

    def json(self) -> Any:
        return json.loads(self.body)


class HubApi:
    """Answers requests; `repos`, by kind and id, and the LFS `objects`, by sha256, are its whole state."""

    def __init__(self, url: str, user: str, organisations: tuple[str, ...], tokens: dict[str, bool]) -> None:
        self.url, self.user, self.tokens = url, user, tokens
        self.namespaces = (user, *organisations)
        self.repos: dict[tuple[str, str], Repo] = {}
        self.objects: dict[str, bytes] = {}

    def keep(self, files: dict[str, bytes]) -> None:
        """Add files that were not uploaded by LFS to the LFS objects, which the Hub shares among repositories."""
        self.objects |= {oid(path, content): content for path, content in files.items() if is_lfs(path, len(content))}

    def answer(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Answer:
        """Route a request by method and quoted path, and answer it; HubError if the answer is an error."""
        token = headers.get("authorization", "").removeprefix("Bearer ")
        if token and token not in self.tokens:
            raise HubError(HTTPStatus.UNAUTHORIZED, "Invalid credentials in Authorization header")
        for methods, pattern, endpoint in ROUTES:
            if method in methods.split() and (match := re.fullmatch(pattern, path)):
                part = {name: value and unquote(value) for name, value in match.groupdict().items()}
                return endpoint(self, Call(method, part, headers, body, self.tokens.get(token)))
        raise HubError(HTTPStatus.NOT_FOUND, f"the loopback Hub has no {method} {path}")

    def _repo(self, call: Call, *, write: bool = False, download: bool = False) -> Repo:
        """The repository that the path names, if the caller may do this with it."""
        kind = "dataset" if (call.part["kind"] or "").startswith("dataset") else "model"
        repo = self.repos.get((kind, call.part["id"] or ""))
        mine = repo is not None and call.writes is not None and repo.id.split("/")[0] in self.namespaces
        if call.writes is None and (repo is None or repo.private or write):
            raise HubError(HTTPStatus.UNAUTHORIZED, "Invalid username or password.", None if repo and write else "RepoNotFound")
        if repo is None or (repo.private and not mine):
            raise HubError(HTTPStatus.NOT_FOUND, "Repository not found", "RepoNotFound")
        if write and not (call.writes and mine):
            raise HubError(HTTPStatus.FORBIDDEN, "Forbidden: you must have write access to this repository")
        if download and repo.gated and not mine and not (repo.granted and call.writes is not None):
            status = HTTPStatus.UNAUTHORIZED if call.writes is None else HTTPStatus.FORBIDDEN
            raise HubError(status, f"Access to {repo.kind} {repo.id} is restricted.", "GatedRepo")
        return repo

    def _commit(self, repo: Repo, call: Call) -> Commit:
        revision = call.part.get("revision") or "main"
        if (commit := repo.at(revision)) is None:
            raise HubError(HTTPStatus.NOT_FOUND, f"Invalid rev id: {revision}", "RevisionNotFound")
        return commit

    def create(self, call: Call) -> Answer:
        wanted = call.json()
        namespace = wanted.get("organization") or self.user
        kind, repo_id = wanted.get("type") or "model", f"{namespace}/{wanted['name']}"
        if call.writes is None:
            raise HubError(HTTPStatus.UNAUTHORIZED, "Invalid username or password.")
        if not call.writes or namespace not in self.namespaces:
            message = f'You don\'t have the rights to create a {kind} under the namespace "{namespace}"'
            raise HubError(HTTPStatus.FORBIDDEN, message)
        url = f"{self.url}/{'datasets/' if kind == 'dataset' else ''}{repo_id}"
        if (kind, repo_id) in self.repos:
            message = f"You already created this {kind} repo"
            return as_json({"error": message, "url": url}, HTTPStatus.CONFLICT, {"X-Error-Message": message})
        repo = self.repos[kind, repo_id] = Repo(kind, repo_id, private=wanted.get("visibility") == "private")
        repo.commit({".gitattributes": GITATTRIBUTES}, "initial commit")
        return as_json({"url": url, "name": repo_id})

    def validate_yaml(self, call: Call) -> Answer:
        """The card's header as the Hub checks it: YAML, a known shape, ids that can be Hub ids."""
        header = re.match(r"---\n(.*?)\n---\n", call.json()["content"], re.DOTALL)
        if header is None:
            return as_json({"errors": [], "warnings": [{"message": "empty or missing yaml metadata in repo card"}]})
        try:
            card = yaml.safe_load(header[1])
            ids = [card[key] for key in ("base_model",) if key in card] + card.get("datasets", [])
            errors = [f'"{name}" is not a valid repository id' for name in ids if not HUB_ID.fullmatch(name)]
            codes = [str(code) for code in card.get("language", [])]
            errors += [f'"language" {code!r} is not an ISO 639 code' for code in codes if not re.fullmatch("[a-z]{2,3}", code)]
            if not re.fullmatch(r"[a-z0-9.-]+", card.get("license", "unknown")):
                errors.append('"license" must be one of the known identifiers')
            for index in card.get("model-index", []):
                for result in index["results"]:
                    _ = index["name"], result["task"]["type"], result["dataset"]["type"], result["dataset"]["name"]
                    _ = [(metric["type"], float(metric["value"])) for metric in result["metrics"]]
        except (yaml.YAMLError, KeyError, TypeError, ValueError, AttributeError) as error:
            errors = [f"invalid metadata: {error!r}"]
        status = HTTPStatus.BAD_REQUEST if errors else HTTPStatus.OK
        return as_json({"errors": [{"message": error} for error in errors], "warnings": []}, status)

    def info(self, call: Call) -> Answer:
        repo = self._repo(call)
        commit = self._commit(repo, call)
        header = re.match(rb"---\n(.*?)\n---\n", commit.files.get("README.md", b""), re.DOTALL)
        card = (yaml.safe_load(header[1]) if header else None) or {}
        about = {
            "_id": hashlib.sha1(repo.id.encode()).hexdigest()[:24],
            "id": repo.id,
            "author": repo.id.split("/")[0],
            "sha": commit.oid,
            "private": repo.private,
            "gated": "auto" if repo.gated else False,
            "disabled": False,
            "tags": [f"license:{card['license']}"] if "license" in card else [],
            "cardData": card,
            "siblings": [{"rfilename": path} for path in sorted(commit.files)],
            "createdAt": DATE,
            "lastModified": DATE,
            "downloads": 0,
            "likes": 0,
        }
        return as_json(about)

    def tree(self, call: Call) -> Answer:
        return as_json(listing(self._commit(self._repo(call), call).files))

    def preupload(self, call: Call) -> Answer:
        repo = self._repo(call, write=True)
        files = self._commit(repo, call).files
        rows = []
        for wanted in call.json()["files"]:
            path = wanted["path"]
            row = {
                "path": path,
                "uploadMode": "lfs" if is_lfs(path, wanted["size"]) else "regular",
                "shouldIgnore": False,
            }
            rows.append(row | ({"oid": oid(path, files[path])} if path in files else {}))
        return as_json({"files": rows, "commitOid": self._commit(repo, call).oid})

    def lfs_batch(self, call: Call) -> Answer:
        self._repo(call, write=True)
        rows = []
        for wanted in call.json()["objects"]:
            row: dict[str, Any] = {"oid": wanted["oid"], "size": wanted["size"]}
            if wanted["oid"] not in self.objects:
                row["actions"] = {"upload": {"href": f"{self.url}/lfs/{wanted['oid']}", "header": {}}}
            rows.append(row)
        return as_json({"transfer": "basic", "objects": rows})

    def lfs_put(self, call: Call) -> Answer:
        name = call.part["oid"] or ""
        if hashlib.sha256(call.body).hexdigest() != name:
            raise HubError(HTTPStatus.BAD_REQUEST, f"LFS object {name} has another sha256")
        self.objects[name] = call.body
        return as_json({})

    def commit(self, call: Call) -> Answer:
        repo = self._repo(call, write=True)
        before = self._commit(repo, call)
        files, message, branch = dict(before.files), "", call.part["revision"] or "main"
        for line in call.body.splitlines():
            operation = json.loads(line)
            value = operation["value"]
            match operation["key"]:
                case "header":
                    message = value["summary"]
                    if value.get("parentCommit", before.oid) != before.oid:
                        message = "A commit has happened since. Please refresh and try again."
                        raise HubError(HTTPStatus.PRECONDITION_FAILED, message)
                case "file":
                    files[value["path"]] = base64.b64decode(value["content"])
                case "lfsFile":
                    if value["oid"] not in self.objects:
                        raise HubError(HTTPStatus.BAD_REQUEST, f"LFS object {value['oid']} was never uploaded")
                    files[value["path"]] = self.objects[value["oid"]]
                case "deletedFile" | "deletedFolder":
                    gone = [name for name in files if name == value["path"] or name.startswith(value["path"].rstrip("/") + "/")]
                    if not gone:
                        raise HubError(HTTPStatus.NOT_FOUND, "A file with this name doesn't exist", "EntryNotFound")
                    for name in gone:
                        del files[name]
        made = repo.commit(files, message, branch)
        url = f"{self.url}/{'datasets/' if repo.kind == 'dataset' else ''}{repo.id}/commit/{made.oid}"
        return as_json({"success": True, "commitOid": made.oid, "commitUrl": url, "hookOutput": ""})

    def resolve(self, call: Call) -> Answer:
        repo = self._repo(call, download=True)
        commit = self._commit(repo, call)
        path, seen = call.part["path"] or "", {"X-Repo-Commit": commit.oid}
        if (content := commit.files.get(path)) is None:
            raise HubError(HTTPStatus.NOT_FOUND, "Entry not found", "EntryNotFound", seen)
        headers = seen | {
            "ETag": f'"{oid(path, content)}"',
            "Accept-Ranges": "bytes",
            "Content-Type": "application/octet-stream",
        }
        if "lfs" in entry(path, content):
            headers |= {"X-Linked-Etag": headers["ETag"], "X-Linked-Size": str(len(content))}
        wanted = re.fullmatch(r"bytes=(\d*)-(\d*)", call.headers.get("range", ""))
        if not wanted or not any(wanted.groups()):
            return Answer(HTTPStatus.OK, content, headers)
        first, last = wanted.groups()
        start = int(first) if first else max(len(content) - int(last), 0)
        stop = min(int(last) + 1, len(content)) if first and last else len(content)
        if start >= stop:
            headers["Content-Range"] = f"bytes */{len(content)}"
            raise HubError(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, "Range not satisfiable", None, headers)
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{len(content)}"
        return Answer(HTTPStatus.PARTIAL_CONTENT, content[start:stop], headers)


REPO = r"/api/(?P<kind>models|datasets)/(?P<id>[^/]+/[^/]+)"
FILES = r"/(?P<kind>datasets/)?(?P<id>[^/]+/[^/]+?)"
REVISION = r"/(?P<revision>[^/]+)"

ROUTES: list[tuple[str, str, Callable[[HubApi, Call], Answer]]] = [
    ("POST", r"/api/repos/create", HubApi.create),
    ("POST", r"/api/validate-yaml", HubApi.validate_yaml),
    ("GET", REPO, HubApi.info),
    ("GET", f"{REPO}/revision{REVISION}", HubApi.info),
    ("GET", f"{REPO}/tree{REVISION}", HubApi.tree),
    ("POST", f"{REPO}/preupload{REVISION}", HubApi.preupload),
    ("POST", f"{REPO}/commit{REVISION}", HubApi.commit),
    ("POST", rf"{FILES}\.git/info/lfs/objects/batch", HubApi.lfs_batch),
    ("PUT", r"/lfs/(?P<oid>[0-9a-f]{64})", HubApi.lfs_put),
    ("GET HEAD", rf"{FILES}/resolve{REVISION}/(?P<path>.+)", HubApi.resolve),
]
