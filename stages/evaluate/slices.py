"""Scores over parts of the queries: where the model is better than BM25 and where it is not.

The queries of all sets are pooled and each counts the same, so a large set weighs more here than in the mean over sets.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from statistics import fmean
from typing import TypeAlias

from stages.retrieval.bm25 import tokenize
from stages.retrieval.scores import CORPUS_DIMS, QUERY_DIMS, metric_of
from stages.retrieval.sets import RetrievalSet

Slices: TypeAlias = dict[str, dict[str, dict[str, float]]]
"""What divides the queries → part → number of ``queries``, and nDCG@10 of each system: ``ndcg@10``, ``bm25_ndcg@10``, …; by
language also ``query_active_dims`` and ``corpus_active_dims``."""

LANGUAGE, LENGTH, OVERLAP, RELEVANT = "language", "query length", "query words in a relevant document", "relevant documents"
LENGTHS = ("1 to 3 words", "4 to 7 words", "8 or more words")
OVERLAPS = ("none", "fewer than half", "half or more", "all")
COUNTS = ("1", "2 to 5", "6 or more")
NO_LANGUAGE = "not given"


def slices(sets: Sequence[tuple[RetrievalSet, Mapping[str, Iterable[float]]]], metrics: Sequence[Mapping[str, float]] = ()) -> Slices:
    """Mean nDCG@10 by language, by query length, by lexical overlap, and by number of relevant documents.

    Words are those of BM25's tokenisation. The overlap is the share of a query's distinct words that one relevant document has: the one
    that has most of them. A part without queries is left out, and so is a system that has not scored all sets, because its mean would be
    over other queries.

    Args:
        sets: each with nDCG@10 by system, in the order of the queries in the set's qrels; what follows the last query is ignored.
        metrics: of the model on each of the sets; those of its active dimensions are averaged by language (`_active_dims`).
    """
    systems = [system for system in (sets[0][1] if sets else ()) if all(system in scores for _, scores in sets)]
    rows: dict[str, dict[str, list[tuple[float, ...]]]] = {
        kind: {part: [] for part in parts} for kind, parts in ((LANGUAGE, ()), (LENGTH, LENGTHS), (OVERLAP, OVERLAPS), (RELEVANT, COUNTS))
    }
    for retrieval_set, scores in sets:
        by_query = zip(*(scores[system] for system in systems), strict=True)
        for parts, row in zip(_parts(retrieval_set), by_query, strict=False):
            for kind, part in parts.items():
                rows[kind].setdefault(part, []).append(row)
    names = [metric_of(system) for system in systems]
    sliced = {kind: {part: _means(names, found) for part, found in parts.items() if found} for kind, parts in rows.items()}
    for language, dims in _active_dims([each for each, _ in sets], metrics).items():
        sliced[LANGUAGE].get(language, {}).update(dims)
    return sliced


def _active_dims(sets: Sequence[RetrievalSet], metrics: Sequence[Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """Means over the queries of each language, and over its documents: a base splits words of a language it knows less into more tokens."""
    found: dict[str, dict[str, list[tuple[float, int]]]] = {}
    for each, measured in zip(sets, metrics, strict=False):
        for name, texts in ((QUERY_DIMS, each.queries), (CORPUS_DIMS, each.corpus)):
            if texts and name in measured:
                found.setdefault(each.language or NO_LANGUAGE, {}).setdefault(name, []).append((measured[name], len(texts)))
    return {language: {name: fmean(*zip(*means, strict=True)) for name, means in dims.items()} for language, dims in found.items()}


def _parts(retrieval_set: RetrievalSet) -> Iterator[dict[str, str]]:
    """The part that each query of the set's qrels belongs to, by what divides the queries."""
    relevant = {
        query: found
        for query, grades in retrieval_set.qrels.items()
        if (found := [document for document, grade in grades.items() if grade > 0])
    }
    documents = [document for document in dict.fromkeys(chain.from_iterable(relevant.values())) if document in retrieval_set.corpus]
    texts = tokenize(retrieval_set.corpus[document] for document in documents)
    words = {document: set(tokens) for document, tokens in zip(documents, texts, strict=True)}
    queries = tokenize(retrieval_set.queries[query] for query in relevant)
    for tokens, found in zip(queries, relevant.values(), strict=True):
        asked = set(tokens)
        most = max((len(asked & words.get(document, set())) for document in found), default=0)
        yield {
            LANGUAGE: retrieval_set.language or NO_LANGUAGE,
            LENGTH: LENGTHS[(len(tokens) > 3) + (len(tokens) > 7)],
            OVERLAP: OVERLAPS[(most > 0) + (most > 0 and 2 * most >= len(asked)) + (0 < most == len(asked))],
            RELEVANT: COUNTS[(len(found) > 1) + (len(found) > 5)],
        }


def _means(names: Sequence[str], rows: Sequence[tuple[float, ...]]) -> dict[str, float]:
    means = (fmean(column) for column in zip(*rows, strict=True))
    return {"queries": len(rows), **dict(zip(names, means, strict=True))}
