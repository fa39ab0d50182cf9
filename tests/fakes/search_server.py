"""Qdrant, OpenSearch and Elasticsearch on 127.0.0.1, for tests of their real clients: only the requests that our engines make.

    with SearchServer() as server:
        QdrantClient(url=server.url)
        server.fail(3)            # the next three requests are answered with 503
        assert server.names() == …

Vectors are kept in memory and scored exactly, float32. As the real ones do, it refuses weights that are not positive and (older
Elasticsearch, OpenSearch) names with a dot.
"""

import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

Vector = dict[str, float]


@dataclass
class Collection:
    """Vectors and other fields by id."""

    vectors: dict[str, Vector] = field(default_factory=dict)
    fields: dict[str, dict[str, Any]] = field(default_factory=dict)
    body: Any = None

    def best(self, query: Vector, number: int) -> list[tuple[str, float]]:
        scores = {
            key: sum(weight * vector[term] for term, weight in query.items() if term in vector) for key, vector in self.vectors.items()
        }
        found = [(key, score) for key, score in scores.items() if score > 0]
        return sorted(found, key=lambda pair: -pair[1])[:number]


class SearchServer:
    """The server, running between ``__enter__`` and ``__exit__``."""

    def __init__(self) -> None:
        self.collections: dict[str, Collection] = {}
        self.aliases: dict[str, str] = {}
        self.log: list[tuple[str, str, Any]] = []
        self._failures, self._lock = 0, threading.Lock()
        state = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                raw = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
                path = self.path.partition("?")[0]
                with state._lock:
                    lines = [json.loads(line) for line in raw.splitlines()] if path == "/_bulk" else json.loads(raw or "null")
                    state.log.append((self.command, path, lines))
                    status, value = state.answer(self.command, path, lines)
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

    def answer(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        if self._failures:
            if self._good <= 0:
                self._failures -= 1
                return 503, {"status": {"error": "away"}, "error": "away"}
            self._good -= 1
        parts = path.strip("/").split("/")
        return self._qdrant(method, parts, body) if parts[0] in ("collections", "aliases") else self._lucene(method, parts, body)

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
        name, rest = parts[1], parts[2:]
        if rest == ["exists"]:
            return done({"exists": name in self.collections})
        if not rest and method == "PUT":
            self.collections[name] = Collection(body=body)
            return done(True)
        if not rest and method == "DELETE":
            return done(self.collections.pop(name, None) is not None)
        if name not in self.collections:
            return 404, {"status": {"error": f"Not found: Collection `{name}` doesn't exist!"}, "time": 0.0}
        collection = self.collections[name]
        if rest == ["points"]:
            for point in body["points"]:
                vector = point["vector"]["text"]
                collection.vectors[str(point["id"])] = _vector(vector)
                collection.fields[str(point["id"])] = point["payload"]
            return done({"operation_id": 0, "status": "completed"})
        assert rest == ["points", "query"] and body["using"] == "text", parts
        query = body["query"].get("nearest", body["query"]) if isinstance(body["query"], dict) else body["query"]
        return done(
            {"points": [{"id": int(key), "version": 0, "score": score} for key, score in collection.best(_vector(query), body["limit"])]}
        )

    def _lucene(self, method: str, parts: list[str], body: Any) -> tuple[int, Any]:
        if parts == ["_bulk"]:
            items = [self._indexed(action["index"], source) for action, source in zip(body[::2], body[1::2], strict=True)]
            return 200, {"took": 0, "errors": any("error" in item["index"] for item in items), "items": items}
        if parts == ["_aliases"]:
            for action in body["actions"]:
                if "remove" in action:
                    self.aliases.pop(action["remove"]["alias"], None)
                else:
                    self.aliases[action["add"]["alias"]] = action["add"]["index"]
            return 200, {"acknowledged": True}
        name, rest = parts[0], parts[1:]
        if method == "HEAD":
            return (200 if name in self.collections else 404), None
        if method == "PUT" and not rest:
            self.collections[name] = Collection(body=body)
            return 200, {"acknowledged": True, "index": name}
        if method == "DELETE":
            self.collections.pop(name, None)
            return 200, {"acknowledged": True}
        if name not in self.collections:
            return 404, {"error": {"type": "index_not_found_exception", "reason": f"no such index [{name}]"}, "status": 404}
        if rest == ["_refresh"]:
            return 200, {"_shards": {"total": 1, "successful": 1, "failed": 0}}
        assert rest == ["_search"], parts
        query = body["query"]
        tokens = query["neural_sparse"]["vector"]["query_tokens"] if "neural_sparse" in query else query["sparse_vector"]["query_vector"]
        best = self.collections[name].best(tokens, body["size"])
        hits = [{"_index": name, "_id": key, "_score": score} for key, score in best]
        return 200, {"took": 0, "timed_out": False, "_shards": {}, "hits": {"total": {"value": len(hits)}, "hits": hits}}

    def _indexed(self, action: dict[str, Any], source: dict[str, Any]) -> dict[str, Any]:
        vector = source.pop("vector")
        if wrong := [name for name, weight in vector.items() if "." in name or weight <= 0]:
            error = {"type": "document_parsing_exception", "reason": f"fields do not support dots or weights below 0: [{wrong[0]}]"}
            return {"index": {"_index": action["_index"], "_id": action["_id"], "status": 400, "error": error}}
        collection = self.collections[action["_index"]]
        collection.vectors[action["_id"]], collection.fields[action["_id"]] = vector, source
        return {"index": {"_index": action["_index"], "_id": action["_id"], "status": 201, "result": "created"}}


def _vector(sparse: dict[str, Any]) -> Vector:
    return {str(index): value for index, value in zip(sparse["indices"], sparse["values"], strict=True)}
