"""Inference triplets in bokmål, in the form of Fremtind/all-nli-norwegian: premise, entailment, contradiction."""

from pathlib import Path
from random import Random

from stages.sample.draws import generator, pick, place, shuffled
from stages.sample.lexicon import OWN, SERVICES, load, read_texts
from stages.sample.parquet import write_rows
from stages.sample.statements import paraphrases, state

SPLITS = {"dev": 0.08, "test": 0.08}  # the rest is train
SUBJECTS_PER_SCENE = 12
STATEMENTS_PER_FACT = 2


def write(folder: Path, seed: int) -> None:
    """Write ``train.parquet``, ``dev.parquet`` and ``test.parquet`` with columns anchor, positive, negative."""
    rng = generator(seed, "nli")
    rows = shuffled(rng, _scenes(rng) + _statements(rng))
    start = 0
    for split, share in SPLITS.items():
        end = start + int(len(rows) * share)
        write_rows(folder / f"{split}.parquet", rows[start:end])
        start = end
    write_rows(folder / "train.parquet", rows[start:])


def _scenes(rng: Random) -> list[dict[str, str]]:
    """Everyday scenes: who does what, the same in wider words, and something else."""
    texts = read_texts("scenes_nb")
    rows = []
    for does, follows, contradicts in texts["scenes"]:
        for subject, wider in shuffled(rng, texts["subjects"])[:SUBJECTS_PER_SCENE]:
            setting = f" {pick(rng, texts['settings'])}" if rng.random() < 0.5 else ""
            rows.append(_triplet(f"{subject} {does}{setting}.", f"{wider} {follows}.", f"{subject} {contradicts}."))
    return rows


def _statements(rng: Random) -> list[dict[str, str]]:
    """Facts about places: one wording, another wording of the same answer, and what rules both out."""
    lexicon = load("nb")
    contradictions = read_texts("scenes_nb")["contradictions"]
    facts = [
        fact for topic in lexicon.facts if topic != SERVICES for fact in lexicon.facts[topic] if fact.aspect != OWN and paraphrases(fact)
    ]
    rows = []
    for fact in facts:
        for town in shuffled(rng, lexicon.words["towns_train"])[:STATEMENTS_PER_FACT]:
            statement = state(lexicon, fact, town, rng)
            one, two = pick(rng, paraphrases(fact))
            first, second, third = (place(rng, fact.nouns) for _ in range(3))
            contradiction = statement.write(pick(rng, contradictions[fact.aspect]), third)
            rows.append(_triplet(statement.document(one, first).text, statement.document(two, second).text, contradiction))
    return rows


def _triplet(premise: str, entailment: str, contradiction: str) -> dict[str, str]:
    return {"anchor": premise, "positive": entailment, "negative": contradiction}
