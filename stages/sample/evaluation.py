"""The evaluation set ``sample`` in NanoBEIR's form: one split a language, towns, people and pairs of wordings unknown to training.

A town tells many things: all about a few institutions, a few things about all of them, and its services. So next to a query's answer
stand the same institution's other facts, the same fact of the town's other institutions, and the same fact of towns with a similar
name. A query names a town and asks for one fact, mostly under another name of the institution and always in another wording. Some
facts stand in a second and a third document too, a page of three facts; every document that states a fact is relevant for its query,
and no other is.
"""

from dataclasses import dataclass
from pathlib import Path
from random import Random

from stages.sample.draws import generator, pick, place, shuffled
from stages.sample.lexicon import LANGUAGES, SERVICES, Fact, Lexicon, load
from stages.sample.parquet import write_rows
from stages.sample.statements import Statement, state

SPLITS = {"nb": "NanoSampleNb", "nn": "NanoSampleNn", "da": "NanoSampleDa", "sv": "NanoSampleSv"}
GROUP, GROUPS = 3, 2  # towns that tell the same kinds of facts; groups beside those of towns with similar names
TOPICS, ASPECTS = 3, 2  # institutions of which a town tells everything; things that it tells of every institution
NEAR, OTHER, SERVICE = 5, 8, 3  # queries of a town: on those things of those institutions, on other things of them, on services
PAGE_FACTS, PAGE_SHARES = 3, {"topic": 0.4, "aspect": 0.2}
SAME_NAME_SHARE = 0.5


@dataclass(frozen=True)
class Document:
    """A text and the facts that it states; all are of one town."""

    text: str
    facts: tuple[Fact, ...]


@dataclass(frozen=True)
class Split:
    """Texts by id, and the relevant documents of each query."""

    corpus: dict[str, str]
    queries: dict[str, str]
    qrels: dict[str, list[str]]


@dataclass(frozen=True)
class Told:
    """A fact of a town as its own document words it; ``query`` is empty if nobody asks for it."""

    statement: Statement
    wording: int
    noun: int
    query: str

    def sentence(self, rng: Random, named: bool) -> str:
        """The fact for a page, where only the first sentence names the town."""
        return self.statement.document(self.wording, place(rng, self.statement.fact.nouns), named).text


@dataclass(frozen=True)
class Town:
    """What a town tells, and the documents that tell it."""

    name: str
    told: dict[Fact, Told]
    documents: list[Document]


def write(folder: Path, seed: int) -> None:
    """Write corpus/, queries/ and qrels/ with one parquet file a split, and the README.md that declares them."""
    for language in LANGUAGES:
        split = make_split(load(language), seed)
        file = f"{SPLITS[language]}-00000-of-00001.parquet"
        write_rows(folder / "corpus" / file, [{"_id": key, "text": text} for key, text in split.corpus.items()])
        write_rows(folder / "queries" / file, [{"_id": key, "text": text} for key, text in split.queries.items()])
        pairs = [{"query-id": query, "corpus-id": document} for query, documents in split.qrels.items() for document in documents]
        write_rows(folder / "qrels" / file, pairs)
    (folder / "README.md").write_text(_readme(), encoding="utf-8", newline="\n")


def make_split(lexicon: Lexicon, seed: int) -> Split:
    """Corpus, queries and qrels of one language."""
    documents: list[tuple[str, Document]] = []
    queries: dict[tuple[str, Fact], str] = {}
    for town in make_towns(lexicon, seed):
        documents += [(town.name, document) for document in town.documents]
        queries |= {(town.name, fact): each.query for fact, each in town.told.items() if each.query}
    rng = generator(seed, "evaluation-order", lexicon.language)
    corpus = {f"{lexicon.language}-d{number:04d}": each for number, each in enumerate(shuffled(rng, documents))}
    stating: dict[tuple[str, Fact], list[str]] = {}
    for key, (name, document) in corpus.items():
        for fact in document.facts:
            stating.setdefault((name, fact), []).append(key)
    asked = {f"{lexicon.language}-q{number:03d}": each for number, each in enumerate(shuffled(rng, list(queries)))}
    return Split(
        {key: document.text for key, (_, document) in corpus.items()},
        {key: queries[each] for key, each in asked.items()},
        {key: stating[each] for key, each in asked.items()},
    )


def make_towns(lexicon: Lexicon, seed: int) -> list[Town]:
    """The towns of one language."""
    rng = generator(seed, "evaluation", lexicon.language)
    towns = shuffled(rng, lexicon.words["towns_eval"])[: GROUP * GROUPS]
    groups = [towns[first : first + GROUP] for first in range(0, len(towns), GROUP)]
    made = []
    for group in [*groups, *lexicon.words["towns_alike"]]:
        topics = shuffled(rng, [topic for topic in lexicon.facts if topic != SERVICES])[:TOPICS]
        aspects = shuffled(rng, list(lexicon.words["aspects"]))[:ASPECTS]
        for town in group:
            told = _tell(lexicon, town, topics, aspects, rng)
            made.append(Town(town, told, _documents(lexicon, told, rng)))
    return made


def _tell(lexicon: Lexicon, town: str, topics: list[str], aspects: list[str], rng: Random) -> dict[Fact, Told]:
    facts = [fact for topic in lexicon.facts for fact in lexicon.facts[topic] if topic in (*topics, SERVICES) or fact.aspect in aspects]
    near = [fact for fact in facts if fact.topic in topics and fact.aspect in aspects]
    other = [fact for fact in facts if fact.topic in topics and fact.aspect not in aspects]
    services = [fact for fact in facts if fact.topic == SERVICES]
    asked = {*shuffled(rng, near)[:NEAR], *shuffled(rng, other)[:OTHER], *shuffled(rng, services)[:SERVICE]}
    return {fact: _told(lexicon, fact, town, fact in asked, rng) for fact in facts}


def _told(lexicon: Lexicon, fact: Fact, town: str, asked: bool, rng: Random) -> Told:
    statement = state(lexicon, fact, town, rng, evaluation=True)
    if not asked:
        return Told(statement, place(rng, fact.documents), place(rng, fact.nouns), "")
    question, wording = pick(rng, fact.pairs(held_out=True))
    noun = place(rng, fact.nouns)
    others = [each for each in range(len(fact.nouns)) if each != noun]
    in_document = pick(rng, others) if others and rng.random() >= SAME_NAME_SHARE else noun
    return Told(statement, wording, in_document, statement.question(question, noun))


def _documents(lexicon: Lexicon, told: dict[Fact, Told], rng: Random) -> list[Document]:
    """One document for each fact; for some of the facts asked for, also a page of the same topic or aspect."""
    documents = []
    for fact, each in told.items():
        text = each.statement.document(each.wording, each.noun).text
        documents.append(Document(f"{text} {pick(rng, lexicon.words['tails'])}" if rng.random() < 0.5 else text, (fact,)))
        for kind, share in PAGE_SHARES.items():
            alike = [other for other in told if other != fact and getattr(other, kind) == getattr(fact, kind)]
            if each.query and rng.random() < share and len(alike) >= PAGE_FACTS:
                facts = shuffled(rng, [fact, *shuffled(rng, alike)[: PAGE_FACTS - 1]])
                sentences = [told[other].sentence(rng, named=number == 0) for number, other in enumerate(facts)]
                documents.append(Document(" ".join(sentences), tuple(facts)))
    return documents


def _readme() -> str:
    lines = ["---", "language:", *[f"- {language}" for language in LANGUAGES], "configs:"]
    for subset in ("corpus", "queries", "qrels"):
        lines += [f"- config_name: {subset}", "  data_files:"]
        for split in SPLITS.values():
            lines += [f"  - split: {split}", f"    path: {subset}/{split}-00000-of-00001.parquet"]
    lines += ["---", "# The built-in evaluation set", "", "Generated; all facts are invented. See stages/sample.", ""]
    return "\n".join(lines)
