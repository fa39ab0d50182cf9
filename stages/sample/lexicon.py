"""The hand-written wordings of one language, read from ``texts/<language>.yaml`` and laid out as facts.

A fact is one thing one can ask about an institution (when the swimming pool opens) or a town (when the rubbish is collected), with
several wordings of the question and several of the document. Some pairs of wordings are held out: training never joins them and the
evaluation uses no others, so that what is scored is the meaning and not a pair seen before.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

LANGUAGES = ("nb", "nn", "da", "sv")

# Institutions that ask for a ticket; the others have no price, or a price of their own kind.
PAID = ("pool", "cinema", "icerink", "museum", "gallery", "theatre")
# Aspects that make no sense for an institution, or that its own fact already answers.
UNFIT = {
    "hotel": ("open",),
    "hostel": ("open",),
    "campsite": ("open",),
    "nursinghome": ("open", "closed"),
    "youthclub": ("open", "year"),
    "doctor": ("year",),
    "vet": ("year",),
    "terminal": ("bus", "closed"),
}
OWN = "own"
SERVICES = "services"


@dataclass(frozen=True)
class Fact:
    """One thing to ask: ``topic`` is an institution or `SERVICES`, ``aspect`` what is asked about it."""

    topic: str
    aspect: str
    heading: str
    nouns: tuple[str, ...]
    questions: tuple[str, ...]
    documents: tuple[str, ...]

    def pairs(self, held_out: bool) -> list[tuple[int, int]]:
        """The pairs (question wording, document wording) that evaluation, or else training, may join."""
        return [(i, j) for i in range(len(self.questions)) for j in range(len(self.documents)) if is_held_out(i, j) == held_out]


@dataclass(frozen=True)
class Lexicon:
    """All wordings of one language: ``facts`` by topic, ``words`` for the slots, instructions and endings."""

    language: str
    facts: dict[str, tuple[Fact, ...]]
    words: dict[str, Any]

    def fact(self, topic: str, aspect: str) -> Fact | None:
        """The fact of ``topic`` on ``aspect``, or None where there is none."""
        return next((fact for fact in self.facts[topic] if fact.aspect == aspect), None)


def is_held_out(question: int, document: int) -> bool:
    """Whether question wording and document wording may meet in the evaluation only."""
    return (question + document) % 4 == 2


def read_texts(name: str) -> dict[str, Any]:
    """The content of ``texts/<name>.yaml``."""
    from ruamel.yaml import YAML

    path = Path(__file__).parent / "texts" / f"{name}.yaml"
    return dict(YAML(typ="safe").load(path.read_text(encoding="utf-8")))


@cache
def load(language: str) -> Lexicon:
    """The lexicon of ``language``, one of `LANGUAGES`."""
    words = read_texts(language)
    facts: dict[str, tuple[Fact, ...]] = {}
    for topic, own in words["topics"].items():
        aspects = {key: texts for key, texts in words["aspects"].items() if _fits(topic, key)} | {OWN: own}
        facts[topic] = tuple(_fact(topic, key, texts, own["nouns"]) for key, texts in aspects.items())
    facts[SERVICES] = tuple(_fact(SERVICES, key, texts, [""]) for key, texts in words["services"].items())
    return Lexicon(language, facts, words)


def _fits(topic: str, aspect: str) -> bool:
    return aspect not in UNFIT.get(topic, ()) and (aspect != "price" or topic in PAID)


def _fact(topic: str, aspect: str, text: dict[str, Any], nouns: list[str]) -> Fact:
    return Fact(topic, aspect, text["h"], tuple(nouns), tuple(text["q"]), tuple(text["d"]))
