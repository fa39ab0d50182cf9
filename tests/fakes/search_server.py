"""Qdrant, OpenSearch and Elasticsearch on 127.0.0.1, for tests of their real clients: only the requests that our engines and docs make.

    with SearchServer() as server:
        QdrantClient(url=server.url)
        server.fail(3)            # the next three requests are answered with 503
        assert server.aliases == …

`qdrant_api` and `lucene_api` say what they answer.
"""

import json
import threading
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import parse_qsl

from tests.fakes.lucene_api import Index, Lucene, Refused

if TYPE_CHECKING:
    from tests.fakes.qdrant_api import QdrantApi

QDRANT = "1.20.0"


class SearchServer:
    """The server, running between ``__enter__`` and ``__exit__``."""

    def __init__(self) -> None:
        self.collections: dict[str, Index] = {}
        self.aliases: dict[str, str] = {}
        self.log: list[tuple[str, str, Any]] = []
        self._failures, self._lock = 0, threading.Lock()
        self.lucene = Lucene()
        state = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                raw = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
                path, _, options = self.path.partition("?")
                with state._lock:
                    lines = [json.loads(line) for line in raw.splitlines()] if path == "/_bulk" else json.loads(raw or "null")
                    state.log.append((self.command, path, lines))
                    status, value = state.answer(self.command, path, lines, dict(parse_qsl(options)))
                content = b"" if self.command == "HEAD" else json.dumps(value).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("X-Elastic-Product", "Elasticsearch")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = answer

            def log_message(self, *_: Any) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()

    def fail(self, number: int, after: int = 0) -> None:
        """Answer ``number`` requests with 503, from the one ``after`` so many."""
        self._failures, self._good = number, after

    def answer(self, method: str, path: str, body: Any, options: dict[str, str]) -> tuple[int, Any]:
        if self._failures:
            if self._good <= 0:
                self._failures -= 1
                return 503, {"status": {"error": "away"}, "error": "away"}
            self._good -= 1
        parts = path.strip("/").split("/")
        if path == "/":
            return 200, {"title": "a server of Qdrant's requests", "version": QDRANT}
        if parts[0] in ("collections", "aliases"):
            return self._qdrant(method, parts, body)
        try:
            return 200, self._lucene(method, parts, body, options)
        except Refused as refused:
            return refused.status, refused.body

    @cached_property
    def _qdrant_api(self) -> "QdrantApi":
        from tests.fakes.qdrant_api import QdrantApi  # needs the client, which `make test` does not have

        return QdrantApi()

    def _qdrant(self, method: str, parts: list[str], body: Any) -> tuple[int, Any]:
        def done(result: Any) -> tuple[int, Any]:
            return 200, {"result": result, "status": "ok", "time": 0.0}

        if parts == ["aliases"]:
            return done({"aliases": [{"alias_name": alias, "collection_name": name} for alias, name in self.aliases.items()]})
        if parts == ["collections", "aliases"]:
            for action in body["actions"]:
                if "delete_alias" in action:
                    self.aliases.pop(action["delete_alias"]["alias_name"])
                else:
                    self.aliases[action["create_alias"]["alias_name"]] = action["create_alias"]["collection_name"]
            return done(True)
        name, rest = self.aliases.get(parts[1], parts[1]), parts[2:]
        if rest == ["exists"]:
            return done({"exists": name in self.collections})
        if name not in self.collections and not (method == "PUT" and not rest):
            return 404, {"status": {"error": f"Not found: Collection `{name}` doesn't exist!"}, "time": 0.0}
        try:
            result = self._qdrant_api.answer(method, name, rest, body)
        except ValueError as error:
            return 400, {"status": {"error": str(error)}, "time": 0.0}
        if not rest and method == "PUT":
            self.collections[name] = Index({**body, "mappings": {"properties": {}}})
        if not rest and method == "DELETE":
            self.collections.pop(name)
        if rest == ["points"]:
            self.collections[name].vectors |= {str(point["id"]): {} for point in body["points"]}
            self.collections[name].fields |= {str(point["id"]): point["payload"] for point in body["points"]}
        return done(result.model_dump(mode="json") if hasattr(result, "model_dump") else result)

    def _lucene(self, method: str, parts: list[str], body: Any, options: dict[str, str]) -> Any:
        if parts == ["_bulk"]:
            items = [self._indexed(action["index"], source) for action, source in zip(body[::2], body[1::2], strict=True)]
            return {"took": 0, "errors": any("error" in item["index"] for item in items), "items": items}
        if parts == ["_aliases"]:
            for action in body["actions"]:
                if "remove" in action:
                    self.aliases.pop(action["remove"]["alias"], None)
                else:
                    self.aliases[action["add"]["alias"]] = action["add"]["index"]
            return {"acknowledged": True}
        if parts == ["_cluster", "settings"]:
            self.lucene.settings |= body["persistent"]
            return {"acknowledged": True, **body}
        if parts[:2] == ["_search", "pipeline"]:
            self.lucene.pipelines[parts[2]] = body
            return {"acknowledged": True}
        if parts[:2] == ["_plugins", "_ml"]:
            return self.lucene.plugin(method, parts[2:], body)
        name, rest = self.aliases.get(parts[0], parts[0]), parts[1:]
        if method == "PUT" and not rest:
            self.collections[name] = Index(body)
            return {"acknowledged": True, "index": name}
        if method == "DELETE":
            self.collections.pop(name, None)
            return {"acknowledged": True}
        if name not in self.collections:
            raise Refused("index_not_found_exception", f"no such index [{name}]", 404)
        if method == "HEAD":
            return None
        if rest == ["_refresh"]:
            return {"_shards": {"total": 1, "successful": 1, "failed": 0}}
        assert rest == ["_search"], parts
        index = self.collections[name]
        found = self.lucene.search(index, body, options.get("search_pipeline"))
        hits: list[dict[str, Any]] = [{"_index": name, "_id": key, "_score": score, "_source": index.fields[key]} for key, score in found]
        return {"took": 0, "timed_out": False, "_shards": {}, "hits": {"total": {"value": len(hits)}, "hits": hits}}

    def _indexed(self, action: dict[str, Any], source: dict[str, Any]) -> dict[str, Any]:
        index = self.collections[action["_index"]]
        known = {"_index": action["_index"], "_id": action.get("_id", f"made{len(index.fields)}")}
        try:
            index.add(known["_id"], source)
        except Refused as refused:
            return {"index": {**known, "status": refused.status, "error": refused.body["error"]}}
        return {"index": {**known, "status": 201, "result": "created"}}
