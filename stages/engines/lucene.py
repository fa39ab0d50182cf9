"""What OpenSearch and Elasticsearch share: both keep sparse vectors in Lucene's feature fields, and their clients have the same forms.

https://lucene.apache.org/core/10_0_0/core/org/apache/lucene/document/FeatureField.html: a weight keeps 9 significant bits (an error of up
to 0.4%), must be positive, and its name must have no dot in older versions. Each row is a document with the fields ``id``, ``text``,
``language`` and ``vector``; its ``_id`` is the row's number. ``text`` is analysed in the documents' language if they have one in common, so
that a query of BM25 finds it.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from stages.engines.documents import Part
from stages.engines.engine import Place
from stages.engines.server import Errors, Server, stems_of

MOST = 10_000
"""Results of one search: index.max_result_window."""
KEYWORD = {"type": "keyword"}


class Lucene(Server):
    """An index on a server; a subclass connects and writes its query."""

    field_type = ""
    bulk: Callable[..., Any]

    def __init__(self, name: str, place: Place, client: Any, away: Callable[[Exception], bool], refused: Errors) -> None:
        super().__init__(name, place, away, refused)
        self._client = client

    def query(self, tokens: dict[str, float]) -> dict[str, Any]:
        """The query for the weights of these terms."""
        raise NotImplementedError

    def write(self, sent: Callable[[int], None]) -> None:
        index, indices = self._place.collection, self._client.indices
        exists = bool(self.ask(lambda: indices.exists(index=index)))
        if not exists:
            text = {"type": "text", "analyzer": stems_of(self._place.texts()) or "standard"}  # each Snowball name is an analyser's too
            fields = {"id": KEYWORD, "text": text, "language": KEYWORD, "vector": {"type": self.field_type}}
            self.ask(lambda: indices.create(index=index, body={"mappings": {"properties": fields}}))
        for part in self.unsent(exists):
            actions = list(self._actions(part))
            self.ask(lambda actions=actions: type(self).bulk(self._client, actions, max_retries=3))  # type: ignore[misc]
            sent(part.first + part.vectors.shape[0])
        self.ask(lambda: indices.refresh(index=index))

    def publish(self) -> None:
        index, alias = self._place.collection, self._place.alias
        actions = [{"remove": {"index": f"{alias}-*", "alias": alias, "must_exist": False}}, {"add": {"index": index, "alias": alias}}]
        self.ask(lambda: self._client.indices.update_aliases(body={"actions": actions}))

    def remove(self) -> None:
        self.ask(lambda: self._client.indices.delete(index=self._place.collection, ignore_unavailable=True))

    def search(self, query: csr_array, n: int) -> tuple[np.ndarray, np.ndarray]:
        if not query.nnz or not n:
            return np.empty(0, np.int64), np.empty(0, np.float32)
        names = self._names
        tokens = {names[dimension]: weight for dimension, weight in zip(query.indices.tolist(), query.data.tolist(), strict=True)}
        body = {"query": self.query(tokens), "size": min(n, MOST), "_source": False}
        hits = self.ask(lambda: self._client.search(index=self._place.collection, body=body))["hits"]["hits"]
        return np.array([int(hit["_id"]) for hit in hits], np.int64), np.array([hit["_score"] for hit in hits], np.float32)

    def _actions(self, part: Part) -> Iterator[dict[str, Any]]:
        names, ends = self._names, part.vectors.indptr
        indices, weights = part.vectors.indices.tolist(), part.vectors.data.tolist()
        for place, row in enumerate(part.table.to_pylist()):
            start, end = ends[place], ends[place + 1]
            vector = {names[dimension]: weight for dimension, weight in zip(indices[start:end], weights[start:end], strict=True)}
            yield {"_index": self._place.collection, "_id": str(part.first + place), **row, "vector": vector}

    @property
    def _names(self) -> list[str]:
        return [f"token {number}" if "." in name or not name else name for number, name in enumerate(self._place.terms())]
