"""A Hub on 127.0.0.1 for tests: real HTTP, spoken to by the real huggingface_hub, datasets and transformers.

    with LoopbackHub() as hub:
        revision = hub.add_repo("dataset", "ltg/norquad", {"train.parquet": path}, license="cc0-1.0")
        hub.reset("train.parquet")                      # the first download breaks off in the middle of the file
        subprocess.run([...], env=os.environ | hub.environment(tmp_path))
        assert ("GET", "/datasets/ltg/norquad/resolve/…") in hub.requests

It answers the requests of huggingface_hub 2.4 without Xet: create, information, tree, the check of a card, preupload, LFS, commit, and
downloads with ranges. Tokens and errors follow huggingface.co: 401 for a missing or wrong token, 403 for a token that may only read or
that has no access to a gated repository, 404 for another's private repository. huggingface_hub reads HF_ENDPOINT when it is imported:
give `environment` to a new process, or `url` as ``endpoint=`` within this one.
"""

import re
import socket
import struct
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import unquote, urlsplit

import pytest
from huggingface_hub import constants

from tests.fakes.hub_api import Answer, HubApi, HubError
from tests.fakes.hub_store import GITATTRIBUTES, Commit, Contents, Fault, Repo, read


@dataclass(frozen=True)
class Request:
    """One request as it came in; ``path`` is unquoted and without its query, header names are lower case."""

    method: str
    path: str
    query: str
    headers: dict[str, str]


class LoopbackHub:
    """The server, running between ``__enter__`` and ``__exit__``; ``url`` is its endpoint.

    ``token`` writes to the namespaces of ``user`` and ``organisations``; ``read_token`` is the same user's and only
    reads. A request meets one fault: the first that matches its path and has times left, in the order they were added.
    """

    def __init__(
        self,
        *,
        user: str = "me",
        organisations: tuple[str, ...] = (),
        token: str = "hf_loopback_write",
        read_token: str = "hf_loopback_read",
    ) -> None:
        self.token, self.read_token = token, read_token
        self.log: list[Request] = []
        self._faults: list[Fault] = []
        self._lock = threading.RLock()
        self._closed = threading.Event()
        self._server = _Server(self)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._api = HubApi(self.url, user, organisations, {token: True, read_token: False})

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self._closed.set()
        self._server.shutdown()
        self._server.server_close()
        self._server.drop_connections()

    def environment(self, home: Path, *, token: str | None = "") -> dict[str, str]:
        """The environment of a new process that uses this Hub; ``token`` "" is the one that may write, None is not logged in."""
        return {
            "HF_ENDPOINT": self.url,
            "HF_HOME": str(home),
            "HF_TOKEN": self.token if token == "" else token or "",
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_OFFLINE": "0",
            "NO_PROXY": "127.0.0.1",
        }

    def prepare(self, monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
        """Let huggingface_hub in this process be logged in here, upload without Xet and keep its cache in ``home``.

        The endpoint is not set: pass it as ``endpoint=``.
        """
        for name, value in self.environment(home).items():
            monkeypatch.setenv(name, value)
        for name, value in {"HF_TOKEN_PATH": str(home / "token"), "HF_HUB_CACHE": str(home / "hub")}.items():
            monkeypatch.setattr(constants, name, value)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)

    def add_repo(
        self,
        kind: str,
        repo_id: str,
        files: Contents,
        revision: str | None = None,
        *,
        branch: str = "main",
        license: str | None = None,
        gated: bool = False,
        private: bool = False,
    ) -> str:
        """Make ``files`` (names to bytes or paths, or a folder) the content of a model or data set; return the revision.

        Called again for the same repository it adds a commit, or another branch such as ``refs/convert/parquet``.
        ``license`` goes into the header of a README.md, which is added if ``files`` has none.
        """
        contents = read(files)
        if license is not None:
            contents.setdefault("README.md", f"---\nlicense: {license}\n---\n".encode())
        with self._lock:
            repo = self._api.repos.setdefault((kind, repo_id), Repo(kind, repo_id, private, gated))
            self._api.keep(contents)
            return repo.commit({".gitattributes": GITATTRIBUTES} | contents, "add files", branch, revision).oid

    def grant(self, kind: str, repo_id: str) -> None:
        """Let the tokens' user into a gated repository."""
        self.repo(kind, repo_id).granted = True

    def repo(self, kind: str, repo_id: str) -> Repo:
        """The repository itself; KeyError if there is none."""
        return self._api.repos[kind, repo_id]

    def files(self, kind: str, repo_id: str, revision: str = "main") -> dict[str, bytes]:
        """Names and contents at a revision, without the .gitattributes that the Hub adds to every repository."""
        commit = self.repo(kind, repo_id).at(revision)
        assert commit is not None, f"{repo_id} has no revision {revision}"
        return {name: content for name, content in sorted(commit.files.items()) if name != ".gitattributes"}

    def commits(self, kind: str, repo_id: str) -> list[Commit]:
        """All commits, oldest first; a repository made by a client begins with the Hub's own, of .gitattributes."""
        return list(self.repo(kind, repo_id).commits)

    @property
    def requests(self) -> list[tuple[str, str]]:
        """Method and unquoted path of every request so far; `log` has the headers too."""
        return [(request.method, request.path) for request in self.log]

    def fail(
        self,
        matching: str,
        *,
        status: int = 503,
        times: float = 1,
        headers: dict[str, str] | None = None,
        methods: tuple[str, ...] | None = None,
    ) -> None:
        """Answer with an error status, before anything is done. ``times`` may be ``math.inf``."""
        self._switch_on(Fault("fail", re.compile(matching), times, methods, status, headers or {}))

    def reset(self, matching: str, *, times: float = 1, after: int | None = None, methods: tuple[str, ...] = ("GET",)) -> None:
        """Process the request, then reset the connection (RST) after ``after`` bytes of the answer, half by default."""
        self._switch_on(Fault("reset", re.compile(matching), times, methods, after=after))

    def truncate(self, matching: str, *, times: float = 1, after: int | None = None, methods: tuple[str, ...] = ("GET",)) -> None:
        """Process the request, then close the connection after ``after`` bytes of the answer, half by default."""
        self._switch_on(Fault("truncate", re.compile(matching), times, methods, after=after))

    def corrupt(self, matching: str, *, times: float = 1) -> None:
        """Send a body of the right length and the wrong checksum: its middle byte is altered."""
        self._switch_on(Fault("corrupt", re.compile(matching), times, ("GET",)))

    def delay(self, matching: str, seconds: float, *, times: float = 1, methods: tuple[str, ...] | None = None) -> None:
        """Wait before the answer."""
        self._switch_on(Fault("delay", re.compile(matching), times, methods, seconds=seconds))

    def heal(self) -> None:
        """Switch all faults off."""
        with self._lock:
            self._faults.clear()

    def _switch_on(self, fault: Fault) -> None:
        with self._lock:
            self._faults.append(fault)

    def answer(self, request: Request, raw_path: str, body: bytes) -> tuple[Answer, Fault | None]:
        """What the handler sends: the answer, and the fault of its body if there is one."""
        with self._lock:
            self.log.append(request)
            fault = next((fault for fault in self._faults if fault.takes(request.method, request.path)), None)
        if fault and fault.kind == "delay":
            self._closed.wait(fault.seconds)
        if fault and fault.kind == "fail":  # as a load balancer answers, not as the Hub's API
            page = f"<html><body>{fault.status}</body></html>".encode()
            return Answer(fault.status, page, {"Content-Type": "text/html"} | dict(fault.headers)), None
        try:
            with self._lock:
                answer = self._api.answer(request.method, raw_path, request.headers, body)
        except HubError as error:
            return error.answer, None
        return answer, fault if fault and fault.kind in ("reset", "truncate", "corrupt") else None


class _Server(ThreadingHTTPServer):
    """Tracks its open connections, so that a closed Hub is closed for kept-alive connections too."""

    daemon_threads = True

    def __init__(self, hub: LoopbackHub) -> None:
        self.hub = hub
        self._connections: set[socket.socket] = set()
        super().__init__(("127.0.0.1", 0), _Handler)

    def process_request(self, request: socket.socket, client_address: tuple[str, int]) -> None:  # type: ignore[override]
        self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: socket.socket) -> None:  # type: ignore[override]
        self._connections.discard(request)
        super().shutdown_request(request)

    def drop_connections(self) -> None:
        for connection in list(self._connections):
            with suppress(OSError):  # its client was quicker
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exc_info()[1], ConnectionError):  # a client may hang up
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def _handle(self) -> None:
        split = urlsplit(self.path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(self.command, unquote(split.path), split.query, headers)
        try:
            answer, fault = self.server.hub.answer(request, split.path, self._read_body())
            self._send(answer, fault)
        except ConnectionError:
            self.close_connection = True  # the client has gone

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = _handle

    def _read_body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = bytearray()
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return bytes(body)

    def _send(self, answer: Answer, fault: Fault | None) -> None:
        body = answer.body
        self.send_response(answer.status)
        for name, value in ({"Content-Length": str(len(body))} | answer.headers).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        if fault is None:
            self.wfile.write(body)
        elif fault.kind == "corrupt":
            middle = len(body) // 2
            self.wfile.write(body[:middle] + bytes([body[middle] ^ 0xFF]) + body[middle + 1 :] if body else body)
        else:
            self.wfile.write(body[: len(body) // 2 if fault.after is None else fault.after])
            self.close_connection = True
            if fault.kind == "reset":
                self._reset()

    def _reset(self) -> None:
        """Close with RST in place of FIN."""
        time.sleep(0.05)  # the client reads what was sent; an RST may overtake it
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.rfile.close()  # it holds the socket open
        self.connection.close()

    def log_message(self, format: str, *arguments: object) -> None:
        """Print nothing: `LoopbackHub.log` has it."""
