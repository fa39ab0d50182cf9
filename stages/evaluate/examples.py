"""The queries in the picture of explanations: a few, spread evenly over the evaluation sets and over each set's queries."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from stages.retrieval.scores import Run, rank
from stages.retrieval.sets import RetrievalSet

EXAMPLES = 4


@dataclass(frozen=True)
class Example:
    """A query and the document it should find: the first of those with the highest grade.

    Attributes:
        rank: of the document among the ``retrieved`` ones; None if it is not among them.
        retrieved: number of documents that the model retrieved for the query; 0 if its run is not known.
    """

    set_name: str
    query: str
    document: str
    rank: int | None = None
    retrieved: int = 0


def candidates(retrieval_set: RetrievalSet, run: Run | None = None) -> list[Example]:
    """`EXAMPLES` queries at even distances in the order of the file, each with the rank in ``run`` of the document it should find.

    With fewer queries, some occur more than once. Queries whose relevant documents have no text are left out.
    """
    answered = [
        query for query in retrieval_set.queries if any(document in retrieval_set.corpus for document in retrieval_set.qrels[query])
    ]
    chosen = [answered[(2 * place + 1) * len(answered) // (2 * EXAMPLES)] for place in range(EXAMPLES)] if answered else []
    return [_example(retrieval_set, query, (run or {}).get(query, {})) for query in chosen]


def choose(of_sets: Sequence[Sequence[Example]]) -> list[Example]:
    """`EXAMPLES` of the sets' candidates: as many of each set or, if there are more sets, one each of sets at even distances."""
    sets = [examples for examples in of_sets if examples]
    places = range(EXAMPLES) if sets else range(0)
    return list(dict.fromkeys(sets[place * len(sets) // EXAMPLES][place] for place in places))


def _example(retrieval_set: RetrievalSet, query: str, scores: Mapping[str, float]) -> Example:
    grades = {document: grade for document, grade in retrieval_set.qrels[query].items() if document in retrieval_set.corpus}
    document = max(grades, key=grades.__getitem__)
    place = rank(scores).index(document) + 1 if document in scores else None
    return Example(retrieval_set.name, retrieval_set.queries[query], retrieval_set.corpus[document], place, len(scores))
