"""What a server of Qdrant answers: collections and queries by its client's own in-process mode, BM25 by its embedded engine.

So fusion, groups, filters and inverse document frequencies are Qdrant's own code, and its own models refuse a request of another form.
"""

from typing import Any

import qdrant_edge
from pydantic import ValidationError
from qdrant_client import QdrantClient
from qdrant_client import models as q


class QdrantApi:
    """The collections of one server, aliases resolved by the caller."""

    def __init__(self) -> None:
        self._client = QdrantClient(":memory:")

    def answer(self, method: str, name: str, rest: list[str], body: Any) -> Any:
        """The result of a request to /collections/<name>/<rest>.

        Raises:
            ValueError: the request is refused, as the server does with status 400.
        """
        try:
            return self._answer(method, name, rest, body)
        except (ValidationError, TypeError, KeyError) as error:
            raise ValueError(f"{type(error).__name__}: {error}") from error

    def _answer(self, method: str, name: str, rest: list[str], body: Any) -> Any:
        match method, rest:
            case "PUT", []:
                created = q.CreateCollection.model_validate(body)
                return self._client.create_collection(name, created.vectors or {}, sparse_vectors_config=created.sparse_vectors)
            case "DELETE", []:
                return self._client.delete_collection(name)
            case "PUT", ["index"]:
                return {"operation_id": 0, "status": "completed"} if body["field_schema"] in [*q.PayloadSchemaType] else {}
            case "PUT", ["points"]:
                points = [q.PointStruct.model_validate(point) for point in body["points"]]
                for point in points:
                    assert isinstance(point.vector, dict)
                    point.vector = {key: _embedded(vector, "document") for key, vector in point.vector.items()}
                return self._client.upsert(name, points)
            case "POST", ["points", "query"]:
                return self._client.query_points(name, **_query(q.QueryRequest.model_validate(body)))
            case "POST", ["points", "query", "groups"]:
                request = q.QueryGroupsRequest.model_validate(body)
                sizes = {"group_by": request.group_by, "group_size": request.group_size or 3}
                return self._client.query_points_groups(name, **_query(request), **sizes)
        raise ValueError(f"{method} {rest} is not imitated")


def _query(request: q.QueryRequest | q.QueryGroupsRequest) -> dict[str, Any]:
    prefetch = request.prefetch if isinstance(request.prefetch, list) else [each for each in [request.prefetch] if each]
    return {
        "query": _embedded(request.query, "query"),
        "prefetch": [each.model_copy(update={"query": _embedded(each.query, "query")}) for each in prefetch],
        "using": request.using,
        "query_filter": request.filter,
        "limit": request.limit or 10,
        "with_payload": bool(request.with_payload),
    }


def _embedded(vector: Any, kind: str) -> Any:
    """A vector or query, with BM25's vector in place of a document to embed."""
    if isinstance(vector, q.NearestQuery):
        return _embedded(vector.nearest, kind)
    if not isinstance(vector, q.Document):
        return vector
    if vector.model.lower() != "qdrant/bm25":
        raise ValueError(f"the server embeds with qdrant/bm25 only, got {vector.model}")
    options = q.Bm25Config.model_validate(vector.options or {})
    edge = qdrant_edge.Bm25Config(
        language=options.language,
        avg_len=options.avg_len,
        stemmer=qdrant_edge.DisabledStemmer() if options.stemmer else None,
        stopwords=qdrant_edge.StopwordsSet() if options.stopwords else None,
    )
    made = getattr(qdrant_edge.Bm25(edge), f"embed_{kind}")(vector.text)
    return q.SparseVector(indices=made.indices, values=made.values)
