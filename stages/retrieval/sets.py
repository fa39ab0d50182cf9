"""Retrieval sets read from disk: BEIR folders and folders in NanoBEIR's form.

NanoBEIR's form is that of ``sentence-transformers/NanoBEIR-en`` on the Hub: folders corpus, queries and qrels, each
with ``<split>-00000-of-00001.parquet`` (or ``<split>.parquet``) for every split. A split is one retrieval set. Texts have
an ``_id`` (or ``id``); documents may have a title.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from pkgutil import resolve_name
from typing import Annotated, Any

from pydantic import PlainSerializer, TypeAdapter

from stages.retrieval.beir import (
    QRELS,
    Qrels,
    UnknownIds,
    parquet_rows,
    qrels_file,
    read_documents,
    read_qrels,
    read_queries,
    read_texts,
    tsv_rows,
)
from stages.runtime.errors import UserError

LANGUAGE_SUFFIXES = {"nb": "nb", "no": "nb", "nn": "nn", "da": "da", "sv": "sv", "en": "en"}
SHARD = re.compile(r"(?P<split>.+?)(-\d{5}-of-\d{5})?\.parquet")

RESERVED = ("mean", "NanoBEIR_mean_dot", "NanoBEIR_mean_dot_ndcg@10")
"""Names of means in metrics/evaluation.json and in the log of a training run; no set can have them."""


@dataclass(frozen=True)
class RetrievalSet:
    """Queries, the whole corpus, and the relevant documents.

    ``queries`` has only the evaluated queries: those with a text and at least one relevant document. ``corpus`` has the
    documents with a text. ``qrels`` (query id → document id → grade above 0) may name a document without a text: no system
    can find it, and it still counts in the ideal ranking, as in sentence-transformers' NanoBEIR evaluator.
    """

    name: str
    language: str | None
    queries: dict[str, str]
    corpus: dict[str, str]
    qrels: Qrels
    queries_left_out: int = 0
    """Queries in the files that are not evaluated: without text, or without a relevant document in this split."""
    entry: str = ""
    """The evaluation entry in params.yaml that the set came from; one entry may have several sets."""
    nano: bool = False
    """Whether the set is in NanoBEIR's form and so counts in ``NanoBEIR_mean_dot_ndcg@10``."""
    own: Annotated[frozenset[str], PlainSerializer(sorted)] = frozenset()
    """Queries that are also documents under the same id, as in ArguAna and Quora: each is left out of its own results, as in BEIR."""
    unknown: str = ""
    """The rows of the qrels that were ignored because they name unknown ids, in words; empty if there are none."""
    unknown_ids: int = 0
    """Number of these rows."""
    judged: dict[str, list[str]] = field(default_factory=dict)
    """Query id → ids of all its judged documents, those of grade 0 too; empty if every judged document is relevant."""
    recalls: dict[str, float] = field(default_factory=dict)
    """Groups of documents whose recall is reported: name → lowest grade. Graded product searches have them."""

    def remarks(self) -> str:
        """The size of the set and what is not evaluated, as one line; empty if everything is evaluated."""
        parts = []
        if self.own:
            parts.append(f"{len(self.own)} queries are documents too and left out of their own results, as in BEIR")
        if self.queries_left_out:
            parts.append(f"{self.queries_left_out} more queries have no text or no relevant document in this split")
        if self.unknown:
            parts.append(f"{self.unknown}, which are ignored")
        return "; ".join([f"{self.name}: {len(self.queries)} queries, {len(self.corpus)} documents", *parts]) if parts else ""


def load_sets(
    folder: Path,
    name: str,
    kind: str,
    split: str | None = None,
    language: str | None = None,
    unknown_ids: float | None = None,
    **options: Any,
) -> list[RetrievalSet]:
    """The sets of one entry of params.yaml, read by ``load_<kind>`` of this module, or else by ``load`` of `stages.retrieval.<kind>`.

    ``options`` are those of the kind alone, see `stages.config.schema.EvaluationSet`.
    """
    load = globals().get(f"load_{kind}") or resolve_name(f"{__package__}.{kind}:load")
    sets: list[RetrievalSet] = load(folder, name, language, split, unknown_ids, **options)
    return sets


def load_beir(
    folder: Path, name: str, language: str | None = None, split: str | None = None, unknown_ids: float | None = None
) -> list[RetrievalSet]:
    """Read corpus.jsonl, queries.jsonl and qrels/<split>.tsv (default test) as one set; `UserError` for faults in them."""
    path = qrels_file(folder, "test" if split is None else split)
    queries = read_queries(folder / "queries.jsonl")
    corpus, own = _corpus(read_documents(folder / "corpus.jsonl"), queries)
    qrels, unknown = read_qrels(tsv_rows(path), queries, corpus, unknown_ids)
    return [retrieval_set(name, language, queries, corpus, qrels, where=str(path), own=_not_relevant(own, qrels), unknown=unknown)]


def load_nanobeir(
    folder: Path, name: str, language: str | None = None, split: str | None = None, unknown_ids: float | None = None
) -> list[RetrievalSet]:
    """Read the splits of a folder in NanoBEIR's form, or the one named, in alphabetical order; each is a set named after the split.

    The language is ``language`` if given, else the ending of the split's name (``NanoSampleNb``) or of ``name`` (``nanobeir-sv``),
    else None.

    Raises:
        UserError: a folder, split, column or value is missing, or a file cannot be read.
    """
    shards = {part: _shards(folder / part) for part in ("corpus", "queries", "qrels")}
    splits = sorted(set().union(*shards.values()))
    if split is not None and split not in splits:
        raise UserError(f"{folder}: has no split {split!r}; choose one of the splits: {', '.join(splits)}")
    splits = splits if split is None else [split]
    for part, found in shards.items():
        if missing := [each for each in splits if each not in found]:
            complete = ", ".join(sorted(set.intersection(*map(set, shards.values())))) or "none"
            remedy = f"add {missing[0]}.parquet (complete splits: {complete})"
            raise UserError(f"{folder / part}: has no file for the split {missing[0]}; {remedy}")
    return [_nano_set(name, each, language, {part: shards[part][each] for part in shards}, unknown_ids) for each in splits]


def distinct(sets: Sequence[RetrievalSet], taken: Iterable[str] = RESERVED) -> list[RetrievalSet]:
    """The sets in order, with ``<entry>/<name>`` for every name that occurs more than once or is ``taken``.

    NanoBEIR in two languages has the same thirteen names twice.
    """
    counts = Counter([*(each.name for each in sets), *taken])
    return [replace(each, name=f"{each.entry}/{each.name}") if counts[each.name] > 1 else each for each in sets]


SETS = TypeAdapter(list[RetrievalSet])


def write_sets(sets: Sequence[RetrievalSet], path: Path) -> None:
    """Write sets of any kind as one JSON file, for another stage to read."""
    path.write_bytes(SETS.dump_json(list(sets)))


def read_sets(path: Path) -> list[RetrievalSet]:
    """The sets that `write_sets` wrote, in the same order."""
    return SETS.validate_json(path.read_bytes())


def retrieval_set(
    name: str,
    language: str | None,
    queries: dict[str, str],
    corpus: dict[str, str],
    qrels: Qrels,
    where: str,
    entry: str | None = None,
    nano: bool = False,
    own: Iterable[str] = (),
    unknown: UnknownIds | None = None,
    recalls: Mapping[str, float] = {},
) -> RetrievalSet:
    """Leave out and count what cannot be evaluated; `UserError` (naming ``where``) if nothing remains.

    ``own``: ids of queries that are left out of their own results. ``unknown``: the ignored rows of the qrels. ``recalls``: see
    `RetrievalSet`.
    """
    relevant = {query: {doc: grade for doc, grade in docs.items() if grade > 0} for query, docs in qrels.items()}
    evaluated = {query: text for query, text in queries.items() if text.strip() and relevant.get(query)}
    documents = {doc: text for doc, text in corpus.items() if text.strip()}
    graded = any(grade <= 0 for query in evaluated for grade in qrels[query].values())
    if not evaluated:
        raise UserError(f"{where}: no query has a relevant document; give at least one row a score above 0")
    if not documents:
        raise UserError(f"{where}: no document in the corpus has a text; add the texts")
    return RetrievalSet(
        name=name,
        language=language,
        queries=evaluated,
        corpus=documents,
        qrels={query: relevant[query] for query in evaluated},
        judged={query: list(qrels[query]) for query in evaluated} if graded else {},
        recalls=dict(recalls),
        queries_left_out=len(queries) - len(evaluated),
        entry=name if entry is None else entry,
        nano=nano,
        own=frozenset(own) & evaluated.keys() & documents.keys(),
        unknown=str(unknown) if unknown and unknown.ignored else "",
        unknown_ids=unknown.ignored if unknown else 0,
    )


def _nano_set(entry: str, split: str, language: str | None, shards: dict[str, list[Path]], allowed: float | None) -> RetrievalSet:
    def texts(part: str) -> Iterable[tuple[str, str, str]]:
        return read_texts(parquet_rows(shards[part], ["text"], optional=["_id", "id", "title"]))

    queries = {identifier: text for identifier, _, text in texts("queries")}
    # without a title the text is not stripped, as in sentence-transformers' evaluator; with one it is, as in mteb
    documents = ((identifier, f"{title} {text}".strip() if title else text, text) for identifier, title, text in texts("corpus"))
    corpus, own = _corpus(documents, queries)
    qrels, unknown = read_qrels(parquet_rows(shards["qrels"], QRELS[:2], optional=QRELS[2:]), queries, corpus, allowed)
    language, where = language or _language(split) or _language(entry), str(shards["qrels"][0])
    return retrieval_set(split, language, queries, corpus, qrels, where, entry, True, _not_relevant(own, qrels), unknown)


def _corpus(documents: Iterable[tuple[str, str, str]], queries: Mapping[str, str]) -> tuple[dict[str, str], set[str]]:
    """Document id → text of (id, text with title, text alone), and the ids of the documents that are also queries.

    Such a document has the id and the text of a query, with or without its title. The id alone does not suffice: many sets number both
    queries and documents from 0.
    """
    corpus, own = {}, set()
    for identifier, whole, text in documents:
        corpus[identifier] = whole
        if identifier in queries and queries[identifier].split() in (whole.split(), text.split()):
            own.add(identifier)
    return corpus, own


def _not_relevant(own: set[str], qrels: Qrels) -> set[str]:
    """The ids in ``own`` without those that the qrels call relevant for themselves."""
    return {query for query in own if qrels.get(query, {}).get(query, 0) <= 0}


def _language(name: str) -> str | None:
    suffix = re.search(r"(?:(?<=[a-z0-9])[A-Z][a-z]|[-_][a-z]{2})$", name)
    return LANGUAGE_SUFFIXES.get(suffix[0].lstrip("-_").lower()) if suffix else None


def _shards(folder: Path) -> dict[str, list[Path]]:
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; NanoBEIR's form has the folders corpus, queries and qrels")
    shards: dict[str, list[Path]] = {}
    for path in sorted(folder.glob("*.parquet")):
        if match := SHARD.fullmatch(path.name):
            shards.setdefault(match["split"], []).append(path)
    if not shards:
        raise UserError(f"{folder}: has no parquet file; add <split>.parquet")
    return shards
