"""Questions on paragraphs in ScandiQA's layout, SQuAD-like: several questions share one context."""

from pathlib import Path
from random import Random
from typing import Any

from stages.sample.draws import generator, number, pick, place, shuffled
from stages.sample.lexicon import LANGUAGES, SERVICES, Lexicon, load
from stages.sample.parquet import write_rows
from stages.sample.statements import capitalised, state

CONTEXTS_PER_TOPIC = 3
CONTEXTS_OF_SERVICES = 10
VALIDATION_SHARE = 0.1


def write(folder: Path, seed: int) -> None:
    """Write ``<language>/train.parquet`` and ``<language>/validation.parquet``; the splits share no context."""
    for language in LANGUAGES:
        contexts = shuffled(generator(seed, "qa-order", language), make_contexts(load(language), seed))
        held = int(len(contexts) * VALIDATION_SHARE)
        for split, part in (("validation", contexts[:held]), ("train", contexts[held:])):
            write_rows(folder / language / f"{split}.parquet", [row for rows in part for row in rows])


def make_contexts(lexicon: Lexicon, seed: int) -> list[list[dict[str, Any]]]:
    """The rows of each context: one list a context."""
    rng = generator(seed, "qa", lexicon.language)
    contexts = []
    for topic in lexicon.facts:
        count = CONTEXTS_OF_SERVICES if topic == SERVICES else CONTEXTS_PER_TOPIC
        for town in shuffled(rng, lexicon.words["towns_train"])[:count]:
            contexts.append(_context(lexicon, topic, town, rng))
    for c, rows in enumerate(contexts):
        for r, row in enumerate(rows):
            row["id"] = f"{lexicon.language}-{c:04d}-{r}"
    return contexts


def _context(lexicon: Lexicon, topic: str, town: str, rng: Random) -> list[dict[str, Any]]:
    facts = shuffled(rng, lexicon.facts[topic])[: number(rng, 4, 6)]
    statements = [state(lexicon, fact, town, rng) for fact in facts]
    name = lexicon.words["services_title"] if topic == SERVICES else capitalised(pick(rng, facts[0].nouns))
    text, answers = "", []
    for s, statement in enumerate(statements):
        question, wording = pick(rng, statement.fact.pairs(held_out=False))
        # Only the first sentence names the town, as people write.
        passage = statement.document(wording, place(rng, statement.fact.nouns), named=s == 0)
        start = len(text) + passage.start
        text += passage.text + " "
        answers.append((statement, question, passage.answer, start))
    return [
        {
            "id": "",
            "title": f"{name} {town}",
            "context": text.rstrip(),
            "question": statement.question(question, place(rng, statement.fact.nouns)),
            "answers": {"text": [answer], "answer_start": [start]},
        }
        for statement, question, answer, start in answers
    ]
