"""A server of Qdrant by its URL: a collection with one sparse vector, and the documents' texts as payload.

https://qdrant.tech/documentation/concepts/vectors/#sparse-vectors. Exact scores of float32 weights, as embedded; other programs can search
the server, with filters and with dense vectors beside these.
"""

from collections.abc import Callable

import numpy as np
from qdrant_client import QdrantClient
from qdrant_client import models as q
from qdrant_client.common.client_exceptions import ResourceExhaustedResponse
from qdrant_client.http.exceptions import ApiException, ResponseHandlingException, UnexpectedResponse
from scipy.sparse import csr_array

from stages.engines.documents import Part
from stages.engines.engine import Place
from stages.engines.server import Server, credentials

VECTOR = "text"
BUSY = (429, 502, 503, 504)


class QdrantServer(Server):
    """A collection on a server; point ids are row numbers."""

    def __init__(self, place: Place) -> None:
        super().__init__("Qdrant", place, away, (ApiException, ResourceExhaustedResponse))
        key, _ = credentials()
        self._client = QdrantClient(url=place.address, api_key=key, timeout=60, check_compatibility=False)

    def write(self, sent: Callable[[int], None]) -> None:
        collection = self._place.collection
        exists = self.ask(lambda: self._client.collection_exists(collection))
        if not exists:
            sparse = {VECTOR: q.SparseVectorParams()}
            self.ask(lambda: self._client.create_collection(collection, vectors_config={}, sparse_vectors_config=sparse))
        for part in self.unsent(exists):
            points = _points(part)
            self.ask(lambda points=points: self._client.upsert(collection, points, wait=True))  # type: ignore[misc]
            sent(part.first + part.vectors.shape[0])

    def publish(self) -> None:
        alias = self._place.alias
        known = {each.alias_name for each in self.ask(lambda: self._client.get_aliases()).aliases}
        changes: list[q.AliasOperations] = []
        if alias in known:
            changes.append(q.DeleteAliasOperation(delete_alias=q.DeleteAlias(alias_name=alias)))
        changes.append(q.CreateAliasOperation(create_alias=q.CreateAlias(collection_name=self._place.collection, alias_name=alias)))
        self.ask(lambda: self._client.update_collection_aliases(changes))

    def remove(self) -> None:
        self.ask(lambda: self._client.delete_collection(self._place.collection))

    def search(self, query: csr_array, n: int) -> tuple[np.ndarray, np.ndarray]:
        if not query.nnz or not n:
            return np.empty(0, np.int64), np.empty(0, np.float32)
        vector = q.SparseVector(indices=query.indices.tolist(), values=query.data.tolist())
        found = self.ask(
            lambda: self._client.query_points(self._place.collection, query=vector, using=VECTOR, limit=n, with_payload=False)
        ).points
        return np.array([point.id for point in found], np.int64), np.array([point.score for point in found], np.float32)


def away(error: Exception) -> bool:
    """Whether the server did not answer, or is busy."""
    busy = isinstance(error, UnexpectedResponse) and error.status_code in BUSY
    return busy or isinstance(error, ResponseHandlingException | ResourceExhaustedResponse)


def _points(part: Part) -> list[q.PointStruct]:
    ends, indices, values = part.vectors.indptr, part.vectors.indices.tolist(), part.vectors.data.tolist()
    points = []
    for place, row in enumerate(part.table.to_pylist()):
        start, end = ends[place], ends[place + 1]
        vector = q.SparseVector(indices=indices[start:end], values=values[start:end])
        points.append(q.PointStruct(id=part.first + place, vector={VECTOR: vector}, payload=row))
    return points
