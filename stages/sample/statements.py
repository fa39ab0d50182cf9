"""Facts made concrete: a place, a year, a name for each slot, then written out as questions and documents."""

import re
from dataclasses import dataclass
from random import Random

from stages.sample.draws import number, pick
from stages.sample.lexicon import Fact, Lexicon

_CHOICE = re.compile(r"\{([^{}]*\|[^{}]*)\}")
_ANSWER = re.compile(r"\[(.*)\]")


@dataclass(frozen=True)
class Passage:
    """A written document and the answer it holds: ``text[start:start + len(answer)] == answer``."""

    text: str
    answer: str
    start: int


@dataclass(frozen=True)
class Statement:
    """One fact about one place with all its slots filled; every wording of it says the same."""

    fact: Fact
    place: str
    values: dict[str, str]
    choice: float

    def question(self, wording: int, noun: int, named: bool = True) -> str:
        """Question ``wording`` about the institution called by its ``noun``-th name; ``named`` keeps the place."""
        return self.write(self.fact.questions[wording], noun, named)

    def document(self, wording: int, noun: int, named: bool = True) -> Passage:
        """Document ``wording`` with its answer marked out."""
        return split_answer(self.write(self.fact.documents[wording], noun, named))

    def write(self, template: str, noun: int, named: bool = True) -> str:
        """Any ``template`` about the institution and place."""
        if not named:
            template = template.replace(" {p}", "")
        name = self.fact.nouns[noun]
        template = _CHOICE.sub(self._choose, template)
        return template.format(n=name, N=capitalised(name), p=self.place, **self.values)

    def _choose(self, match: re.Match[str]) -> str:
        options = match[1].split("|")
        return options[int(self.choice * len(options))]


def paraphrases(fact: Fact) -> list[tuple[int, int]]:
    """The pairs of different document wordings that state the same answer; some answer by another detail."""
    slots = [re.findall(r"\{[^{}]*\}", match[1]) if (match := _ANSWER.search(d)) else [] for d in fact.documents]
    return [(i, j) for i in range(len(slots)) for j in range(len(slots)) if i != j and slots[i] == slots[j]]


def state(lexicon: Lexicon, fact: Fact, place: str, rng: Random, evaluation: bool = False) -> Statement:
    """``fact`` about ``place`` with random values; people of the evaluation have surnames of their own."""
    words = lexicon.words
    surnames = words["surnames_eval" if evaluation else "surnames_train"]
    phone = [f"{number(rng, 20, 99)}" for _ in range(4)]
    values = {
        "t": str(number(rng, 7, 11)),
        "week": str(number(rng, 26, 32)),
        "kr": str(5 * number(rng, 4, 30)),
        "fee": str(50 * number(rng, 5, 30)),
        "num": str(number(rng, 12, 60)),
        "cap": str(number(rng, 70, 480)),
        "year": str(number(rng, 1880, 2015)),
        "line": str(number(rng, 2, 90)),
        "person": f"{pick(rng, words['first_names'])} {pick(rng, surnames)}",
        "address": f"{pick(rng, words['streets'])} {number(rng, 1, 99)}",
        "phone": words["phone"].format(*phone),
        "month": pick(rng, words["months"]),
        "day": pick(rng, words["days"]),
    }
    return Statement(fact, place, values, rng.random())


def split_answer(text: str) -> Passage:
    """``text`` without the brackets around its answer."""
    before, answer, after = _ANSWER.split(text)
    if not before:
        answer = capitalised(answer)
    return Passage(before + answer + after, answer, len(before))


def capitalised(text: str) -> str:
    """``text`` with a capital first letter, the rest unchanged."""
    return text[:1].upper() + text[1:]
