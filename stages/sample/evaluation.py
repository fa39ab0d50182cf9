"""The evaluation set ``sample`` in NanoBEIR's form: one split a language, towns, people and pairs of wordings unknown to training.

Every town has documents on a few institutions and services. A query names a town and asks for one of them, mostly under another name of
the institution and always in another wording; the rest of the town's documents, and the same institution elsewhere, lead astray.
"""

from dataclasses import dataclass
from pathlib import Path
from random import Random

from stages.sample.draws import generator, pick, place, shuffled
from stages.sample.lexicon import LANGUAGES, SERVICES, Fact, Lexicon, load
from stages.sample.parquet import write_rows
from stages.sample.statements import state

SPLITS = {"nb": "NanoSampleNb", "nn": "NanoSampleNn", "da": "NanoSampleDa", "sv": "NanoSampleSv"}
SAME_TOPIC, SAME_ASPECT, OTHER_SERVICES = 2, 2, 1  # misleading documents beside each relevant one
SAME_NAME_SHARE = 0.5


@dataclass(frozen=True)
class Split:
    """Texts by id, and the relevant document of each query."""

    corpus: dict[str, str]
    queries: dict[str, str]
    qrels: dict[str, str]


def write(folder: Path, seed: int) -> None:
    """Write corpus/, queries/ and qrels/ with one parquet file a split, and the README.md that declares them."""
    for language in LANGUAGES:
        split = make_split(load(language), seed)
        file = f"{SPLITS[language]}-00000-of-00001.parquet"
        write_rows(folder / "corpus" / file, [{"_id": key, "text": text} for key, text in split.corpus.items()])
        write_rows(folder / "queries" / file, [{"_id": key, "text": text} for key, text in split.queries.items()])
        pairs = [{"query-id": query, "corpus-id": document} for query, document in split.qrels.items()]
        write_rows(folder / "qrels" / file, pairs)
    (folder / "README.md").write_text(_readme(), encoding="utf-8", newline="\n")


def make_split(lexicon: Lexicon, seed: int) -> Split:
    """Corpus, queries and qrels of one language; no two documents state the same fact of the same town."""
    rng = generator(seed, "evaluation", lexicon.language)
    documents: list[tuple[str, str]] = []  # text, and the query it answers or ""
    for town in shuffled(rng, lexicon.words["towns_eval"]):
        documents += _town(lexicon, town, rng)
    corpus: dict[str, str] = {}
    queries: dict[str, str] = {}
    qrels: dict[str, str] = {}
    for text, query in shuffled(rng, documents):
        document_id = f"{lexicon.language}-d{len(corpus):04d}"
        corpus[document_id] = text
        if query:
            query_id = f"{lexicon.language}-q{len(queries):03d}"
            queries[query_id], qrels[query_id] = query, document_id
    return Split(corpus, queries, qrels)


def _town(lexicon: Lexicon, town: str, rng: Random) -> list[tuple[str, str]]:
    """The documents of one town, the relevant one with its query."""
    asked = pick(rng, lexicon.facts[pick(rng, list(lexicon.facts))])
    same_topic = [other for other in lexicon.facts[asked.topic] if other.aspect != asked.aspect]
    same_aspect = [other for topic in lexicon.facts if topic != asked.topic and (other := lexicon.fact(topic, asked.aspect))]
    told = [asked, *shuffled(rng, same_topic)[:SAME_TOPIC], *shuffled(rng, same_aspect)[:SAME_ASPECT]]
    told += shuffled(rng, lexicon.facts[SERVICES])[:OTHER_SERVICES]
    return [_document(lexicon, fact, town, fact == asked, rng) for fact in dict.fromkeys(told)]


def _document(lexicon: Lexicon, fact: Fact, town: str, asked: bool, rng: Random) -> tuple[str, str]:
    statement = state(lexicon, fact, town, rng, evaluation=True)
    question, wording = pick(rng, fact.pairs(held_out=True))
    first = place(rng, fact.nouns)
    others = [noun for noun in range(len(fact.nouns)) if noun != first]
    second = pick(rng, others) if others and rng.random() >= SAME_NAME_SHARE else first
    if not asked:
        wording = place(rng, fact.documents)
    text = statement.document(wording, second).text
    if rng.random() < 0.5:
        text = f"{text} {pick(rng, lexicon.words['tails'])}"
    return text, statement.question(question, first) if asked else ""


def _readme() -> str:
    lines = ["---", "language:", *[f"- {language}" for language in LANGUAGES], "configs:"]
    for subset in ("corpus", "queries", "qrels"):
        lines += [f"- config_name: {subset}", "  data_files:"]
        for split in SPLITS.values():
            lines += [f"  - split: {split}", f"    path: {subset}/{split}-00000-of-00001.parquet"]
    lines += ["---", "# The built-in evaluation set", "", "Generated; all facts are invented. See stages/sample.", ""]
    return "\n".join(lines)
