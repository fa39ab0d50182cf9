"""Query–positive–negative rows in the form of DDSC/nordic-embedding-training-data: five tasks, most negatives null."""

import json
from pathlib import Path
from random import Random
from typing import Any

from stages.sample.draws import generator, pick, place, shuffled
from stages.sample.lexicon import LANGUAGES, SERVICES, Fact, Lexicon, load
from stages.sample.parquet import write_rows
from stages.sample.statements import Statement, capitalised, paraphrases, state

LANGUAGE_NAMES = {"nb": "norwegian", "nn": "norwegian nynorsk", "da": "danish", "sv": "swedish"}
TASKS = {"retrieval": 240, "text-matching-short": 60, "text-matching-long": 70, "unit-triple": 70, "classification": 60}
PARAPHRASE_TASKS = ("text-matching-long", "unit-triple")
NEGATIVE_SHARE = 0.4
NAMED_SHARE = 0.6


def write(folder: Path, seed: int) -> None:
    """Write ``train.parquet``; as in the original there is no other split."""
    rows = [row for language in LANGUAGES for row in make_rows(load(language), seed)]
    write_rows(folder / "train.parquet", shuffled(generator(seed, "ddsc-order"), rows))


def make_rows(lexicon: Lexicon, seed: int) -> list[dict[str, Any]]:
    """The rows of one language."""
    rows = []
    facts = [fact for topic in lexicon.facts for fact in lexicon.facts[topic]]
    for task, count in TASKS.items():
        rng = generator(seed, "ddsc", lexicon.language, task)
        usable = [fact for fact in facts if task not in PARAPHRASE_TASKS or paraphrases(fact)]
        rows += [_row(lexicon, task, fact, rng) for fact in shuffled(rng, usable)[:count]]
    return rows


def _row(lexicon: Lexicon, task: str, fact: Fact, rng: Random) -> dict[str, Any]:
    town = pick(rng, lexicon.words["towns_train"])
    named = rng.random() < NAMED_SHARE
    statement = state(lexicon, fact, town, rng)
    other = state(lexicon, _distractor(lexicon, fact, rng), town, rng)
    query, positive, negative = _texts(lexicon, task, statement, other, named, rng)
    texts = {"query": query, "positive": positive, "negative": negative if rng.random() < NEGATIVE_SHARE else None}
    language = LANGUAGE_NAMES[lexicon.language]
    return {
        **texts,
        "instruction": pick(rng, lexicon.words["instructions"][task]),
        "task": task,
        "language": language,
        "prompt": f"Write one example of the task {task} in {language}.",
        "response": json.dumps(texts, ensure_ascii=False),
    }


def _texts(lexicon: Lexicon, task: str, statement: Statement, other: Statement, named: bool, rng: Random) -> tuple[str, str, str]:
    """Query, positive and negative; the negative is of the same place and another subject."""
    fact = statement.fact
    first, second = _nouns(rng, fact)
    wordings = shuffled(rng, range(len(fact.questions)))
    if task == "classification":
        document = statement.document(place(rng, fact.documents), first, named).text
        return document, _label(statement, second), _label(other, 0)
    if task == "text-matching-short":
        asked = other.question(place(rng, other.fact.questions), place(rng, other.fact.nouns), named)
        return statement.question(wordings[0], first, named), statement.question(wordings[1], second, named), asked
    negative = other.document(place(rng, other.fact.documents), place(rng, other.fact.nouns), named).text
    if task == "retrieval":
        question, wording = pick(rng, fact.pairs(held_out=False))
        positive = statement.document(wording, second, named).text
        return statement.question(question, first, named), _ended(lexicon, positive, rng), negative
    one, two = pick(rng, paraphrases(fact))
    query, positive = statement.document(one, first, named).text, statement.document(two, second, named).text
    if task == "text-matching-long":
        query, positive = _ended(lexicon, query, rng), _ended(lexicon, positive, rng)
    return query, positive, negative


def _distractor(lexicon: Lexicon, fact: Fact, rng: Random) -> Fact:
    """Another subject: the same institution on another aspect, or another institution on the same."""
    topics = [topic for topic in lexicon.facts if topic not in (fact.topic, SERVICES)]
    same_aspect = lexicon.fact(pick(rng, topics), fact.aspect)
    if same_aspect is not None and rng.random() < 0.5:
        return same_aspect
    return pick(rng, [other for other in lexicon.facts[fact.topic] if other.aspect != fact.aspect])


def _label(statement: Statement, noun: int) -> str:
    name = statement.fact.nouns[noun]
    return f"{capitalised(name)}: {statement.fact.heading.lower()}" if name else statement.fact.heading


def _ended(lexicon: Lexicon, text: str, rng: Random) -> str:
    return f"{text} {pick(rng, lexicon.words['tails'])}" if rng.random() < 0.5 else text


def _nouns(rng: Random, fact: Fact) -> tuple[int, int]:
    """Two names of the institution, different ones in most draws."""
    order = shuffled(rng, range(len(fact.nouns)))
    return order[0], order[-1] if rng.random() < 0.8 else order[0]
