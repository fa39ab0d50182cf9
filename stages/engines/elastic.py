"""Elasticsearch: the field type and query `sparse_vector`, from version 8.15 on.

https://www.elastic.co/docs/reference/elasticsearch/mapping-reference/sparse-vector. Newer servers leave out tokens of a query by default;
our queries switch that off, because the model's own pruning is in the vectors.
"""

from typing import Any

from elastic_transport import ConnectionError, ConnectionTimeout, TransportError
from elasticsearch import ApiError, Elasticsearch
from elasticsearch.helpers import BulkIndexError, bulk

from stages.engines.engine import Place
from stages.engines.lucene import Lucene
from stages.engines.server import credentials

BUSY = (429, 502, 503, 504)


class ElasticEngine(Lucene):
    """An index on a server of Elasticsearch."""

    field_type = "sparse_vector"
    bulk = bulk

    def __init__(self, place: Place) -> None:
        key, basic = credentials()
        client = Elasticsearch(place.address, api_key=key, basic_auth=None if key else basic, request_timeout=60)
        super().__init__("Elasticsearch", place, client, away, (ApiError, TransportError, BulkIndexError))

    def query(self, tokens: dict[str, float]) -> dict[str, Any]:
        return {"sparse_vector": {"field": "vector", "query_vector": tokens, "prune": False}}


def away(error: Exception) -> bool:
    """Whether the server did not answer, or is busy."""
    return isinstance(error, ConnectionError | ConnectionTimeout) or (isinstance(error, ApiError) and error.meta.status in BUSY)
