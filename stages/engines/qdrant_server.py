"""A server of Qdrant by its URL, from version 1.15.3 on: a collection with two sparse vectors, and the documents' texts as payload.

https://qdrant.tech/documentation/concepts/vectors/#sparse-vectors. Exact scores of float32 weights, as embedded. The second vector is
BM25's, for hybrids; the server makes it of the text (https://qdrant.tech/documentation/inference/inference-bm25/).
"""

from collections.abc import Callable

import numpy as np
from qdrant_client import QdrantClient
from qdrant_client import models as q
from qdrant_client.common.client_exceptions import ResourceExhaustedResponse
from qdrant_client.http.exceptions import ApiException, ResponseHandlingException, UnexpectedResponse
from scipy.sparse import csr_array

from stages.engines.documents import Part, Texts
from stages.engines.engine import Place
from stages.engines.server import Server, credentials, stems_of

VECTOR, BM25 = "text", "bm25"
MODEL = "qdrant/bm25"
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
            sparse = {VECTOR: q.SparseVectorParams(), BM25: q.SparseVectorParams(modifier=q.Modifier.IDF)}
            self.ask(lambda: self._client.create_collection(collection, vectors_config={}, sparse_vectors_config=sparse))
        for field in ("id", "language"):  # to group by, and to filter by
            self.ask(lambda field=field: self._client.create_payload_index(collection, field, q.PayloadSchemaType.KEYWORD))  # type: ignore[misc]
        words = bm25(self._place.texts())
        for part in self.unsent(exists):
            points = _points(part, words)
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


def bm25(texts: Texts) -> q.Bm25Config:
    """How the server makes BM25's vectors of the documents; unless told, it takes every text for English."""
    length = max(texts.words, 1.0)
    if language := stems_of(texts):
        return q.Bm25Config(language=language, avg_len=length)
    return q.Bm25Config(stemmer=q.DisabledStemmerParams(type=q.NoStemmer.NONE), stopwords=q.StopwordsSet(), avg_len=length)


def _points(part: Part, words: q.Bm25Config) -> list[q.PointStruct]:
    ends, indices, values = part.vectors.indptr, part.vectors.indices.tolist(), part.vectors.data.tolist()
    points = []
    for place, row in enumerate(part.table.to_pylist()):
        start, end = ends[place], ends[place + 1]
        vector = q.SparseVector(indices=indices[start:end], values=values[start:end])
        text = q.Document(text=row["text"], model=MODEL, options=words)
        points.append(q.PointStruct(id=part.first + place, vector={VECTOR: vector, BM25: text}, payload=row))
    return points
