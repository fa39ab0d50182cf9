"""Readers of sets with texts in columns: each names its columns and the rows that it drops."""

import re
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stages.format.sources.answers import answer_texts, is_answered
from stages.format.sources.chunk import Chunk, Options, chunk, language_codes, language_of, repeated
from stages.format.sources.folder import RawFolder
from stages.format.sources.labels import LABEL, judged
from stages.hub.splits import Split
from stages.rows.dropping import as_mask
from stages.rows.parquet import SCORES, one_array
from stages.runtime.errors import UserError

NEGATIVE = re.compile(r"negative(_[0-9]+)?")
ANSWERS, START, IMPOSSIBLE = ("answers", "answer"), "answer_start", "is_impossible"


def triplets(raw: RawFolder, split: Split, options: Options) -> Iterator[Chunk]:
    """anchor, positive[, negative, negative_2 …, scores, label]: all-nli-norwegian, ETI, and one's own triplets.jsonl.

    A row with a null negative is a pair. ``scores`` is a teacher's list of numbers: one for the positive, then one for each column of
    negatives. ``label`` 0 marks a pair that is not a positive.
    """
    names = raw.column_names()
    negatives = sorted(filter(NEGATIVE.fullmatch, names), key=lambda name: (len(name), name)) or ["negative"]
    scored = [SCORES] if SCORES in names else []
    for path, table in raw.read_split(split, ["anchor", "positive"], [*negatives, LABEL, *scored], lists=[SCORES]):
        scores = table[SCORES] if scored else None
        if scores is not None and not pa.types.is_list(scores.type):
            if scores.null_count < len(table):
                raw.warn(f'column "{SCORES}" ({raw.name(path)}) is not read: it holds one value a row, not a list of numbers')
            scores = pa.nulls(len(table), pa.list_(pa.float64()))
        reasons, notes = judged(table[LABEL], path)
        columns = table["anchor"], table["positive"], [table[name] for name in negatives]
        try:
            yield chunk(*columns, options.language, reasons=reasons, notes=notes, scores=scores)
        except pa.ArrowInvalid as error:
            raise UserError(f'{path}: column "{SCORES}" must hold lists of numbers ({error}); correct it') from error


eti = triplets  # its other columns are not texts to train on


def pairs(raw: RawFolder, split: Split, options: Options) -> Iterator[Chunk]:
    """query, pos[, label]: pos is a text or a list of texts, each of which makes a row; ``label`` is 1 for a positive, else 0."""
    for path, table in raw.read_split(split, ["query", "pos"], [LABEL], lists=["pos"]):
        reasons, notes = judged(table[LABEL], path)
        yield chunk(table["query"], table["pos"], language=options.language, reasons=reasons, notes=notes)


def ddsc(raw: RawFolder, split: Split, options: Options) -> Iterator[Chunk]:
    """DDSC's nordic embedding data (DDSC/nordic-embedding-training-data): query, positive and, in about 40% of the rows, a negative.

    Instruction, task, prompt and response are not trained on. All tasks are used; ``languages`` chooses among Norwegian, Danish and
    Swedish. A row without a negative is kept as a pair.
    """
    for _, table in raw.read_split(split, ["query", "positive", "language"], ["negative"]):
        languages = language_codes(one_array(table["language"]))
        reasons = {"language not chosen": as_mask(pc.is_null(languages)) | options.unwanted(languages)}
        yield chunk(table["query"], table["positive"], [table["negative"]], languages, reasons=reasons)


def openbookqa(raw: RawFolder, split: Split, options: Options) -> Iterator[Chunk]:
    """NorOpenBookQA (ltg/noropenbookqa): a question and the fact behind its answer; a folder per language, nb and nn.

    A question without a fact has no positive and is dropped.
    """
    for path, table in raw.read_split(split, ["question_stem", "fact"]):
        languages = repeated(language_of(path, raw.path) or options.language, len(table))
        no_fact = ~as_mask(pc.not_equal(pc.utf8_trim_whitespace(table["fact"]), ""))
        reasons = {"language not chosen": options.unwanted(languages), "no fact": no_fact}
        yield chunk(table["question_stem"], table["fact"], language=languages, reasons=reasons)


def squad(raw: RawFolder, split: Split, options: Options) -> Iterator[Chunk]:
    """Questions and the passages that answer them, as in SQuAD: NorQuAD, and ScandiQA with its folder per language.

    A passage without an answer to its question is not a positive: ``options.unanswerable`` decides whether such rows are dropped or
    kept and noted. Several rows share a passage; the mix stage keeps them out of one batch.
    """
    for path, table in raw.read_split(split, ["question", "context"], [*ANSWERS, START, IMPOSSIBLE], as_is=[*ANSWERS, START, IMPOSSIBLE]):
        languages = repeated(language_of(path, raw.path) or options.language, len(table))
        reasons, empty = {"language not chosen": options.unwanted(languages)}, unanswerable(table)
        dropped, kept = ({"unanswerable": empty}, {}) if options.unanswerable == "drop" else ({}, {"unanswerable, kept": empty})
        yield chunk(
            table["question"], table["context"], language=languages, reasons=reasons | dropped, notes=kept, answer=first_answers(table)
        )


def first_answers(table: pa.Table) -> pa.StringArray:
    """The first answer of each question, null if it has none."""
    known = [table[name].to_pylist() for name in ANSWERS]
    return pa.array(
        [next((text for value in values for text in answer_texts(value)), None) for values in zip(*known, strict=True)], pa.string()
    )


def unanswerable(table: pa.Table) -> np.ndarray:
    """Which questions have no answer, shape (rows,); none if the set has no column of answers."""
    known = [name for name in ANSWERS if not pa.types.is_null(table[name].type)]
    answered = np.full(len(table), not known)
    for name in known:
        answered |= np.fromiter(map(is_answered, table[name].to_pylist(), table[START].to_pylist()), bool, len(table))
    impossible = [str(value).lower() in ("true", "1", "1.0") for value in table[IMPOSSIBLE].to_pylist()]
    return ~answered | np.array(impossible, dtype=bool)
