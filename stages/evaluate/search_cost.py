"""What a query and a document cost a search engine: posting-list entries touched, bytes of the index.

A query's latency follows the entries in the posting lists of its dimensions, not its number of dimensions: one frequent term costs more
than ten rare ones.
"""

import numpy as np

from stages.retrieval.vectors import Encoded, dimension_counts

POSTINGS_MEAN, POSTINGS_P95 = "query_postings_mean", "query_postings_p95"
BYTES_FLOAT32, BYTES_UINT8 = "index_bytes_float32", "index_bytes_uint8"
ID = 4
"""Bytes of the document's id in a posting, which is not compressed."""


def search_cost(encoded: Encoded) -> dict[str, float]:
    """The cost of a set's vectors, with every window of a document counted.

    - ``query_postings_mean``, ``query_postings_p95``: the number of entries in the posting lists of a query's dimensions, without
      skipping any: its mean and 95th percentile over the queries.
    - ``index_bytes_float32``, ``index_bytes_uint8``: bytes a document: for each posting an id and a weight of 4 bytes or of 1. The table
      of terms, whose size does not depend on the documents, is not counted.
    """
    queries, documents = encoded.queries, len(encoded.starts) - 1
    lengths = dimension_counts(encoded.documents)
    ends = np.concatenate([[0], np.cumsum(lengths[queries.indices])])
    touched = ends[queries.indptr[1:]] - ends[queries.indptr[:-1]]
    postings = encoded.documents.nnz / documents
    return {
        POSTINGS_MEAN: float(touched.mean()),
        POSTINGS_P95: float(np.percentile(touched, 95)),
        BYTES_FLOAT32: postings * (ID + 4),
        BYTES_UINT8: postings * (ID + 1),
    }
