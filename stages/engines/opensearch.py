"""OpenSearch: `rank_features` and the `neural_sparse` query, from version 2.14 on.

https://docs.opensearch.org/latest/vector-search/ai-search/neural-sparse-with-raw-vectors/. Terms are the model's tokens, so that
OpenSearch's own tokenizers and analysers can make the queries.
"""

from typing import Any

from opensearchpy import ConnectionError, ConnectionTimeout, OpenSearch, OpenSearchException, TransportError
from opensearchpy.helpers import bulk

from stages.engines.engine import Place
from stages.engines.lucene import Lucene
from stages.engines.server import credentials

BUSY = (429, 502, 503, 504)


class OpenSearchEngine(Lucene):
    """An index on a server of OpenSearch."""

    field_type = "rank_features"
    bulk = bulk

    def __init__(self, place: Place) -> None:
        _, basic = credentials()
        client = OpenSearch(hosts=[place.address], http_auth=basic, timeout=60)
        super().__init__("OpenSearch", place, client, away, OpenSearchException)

    def query(self, tokens: dict[str, float]) -> dict[str, Any]:
        return {"neural_sparse": {"vector": {"query_tokens": tokens}}}


def away(error: Exception) -> bool:
    """Whether the server did not answer, or is busy."""
    return isinstance(error, ConnectionError | ConnectionTimeout) or (isinstance(error, TransportError) and error.status_code in BUSY)
