"""Parallel text: sentences and their translations, for a model that finds documents in one language for queries in another.

Which side is the anchor is drawn by the row's hash, as either may be the query (Reimers and Gurevych 2020, arXiv 2004.09813, train on such
pairs with a teacher). Files as OPUS and the Hub have them: a column for each language, a struct ``translation`` of both, a TSV file of two
columns, or a pair of text files with a line for each sentence (``Europarl.da-sv.da``, ``Europarl.da-sv.sv``).
"""

import json
import re
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import islice, zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stages.format.sources.chunk import LANGUAGES, Chunk, Options, chunk
from stages.format.sources.columns import opened
from stages.format.sources.folder import RawFolder
from stages.format.sources.tab_separated import Tables, is_tab_separated
from stages.hub.splits import Split
from stages.rows.normalisation import combine_hashes, hash_texts
from stages.rows.parquet import READ_ROWS, one_array
from stages.runtime.errors import UserError

FIRST, SECOND, TRANSLATION = "first", "second", "translation"
SIDES = ((FIRST, SECOND), ("sentence1", "sentence2"), ("source", "target"), ("src", "tgt"), ("english", "non_english"))
"""Columns that do not name their languages: they are in the order of ``languages``."""
TABLES = Tables((*LANGUAGES, *(name for pair in SIDES for name in pair)), {2: (FIRST, SECOND)})


def read(raw: RawFolder, split: Split, options: Options) -> Iterator[Chunk]:
    """Yield pairs of a sentence and its translation between the two ``options.languages``; a row's language is that of its anchor.

    Files of other pairs of languages are left out. Memory holds one chunk.

    Raises:
        UserError: there is no file of these languages, or the two files of a pair differ in their number of lines.
    """
    languages = list(options.languages or ())
    forms = _forms(raw, languages)
    for _, table in raw.read_split(split, [FIRST, SECOND], among=[*forms], read=partial(_read, forms, languages)):
        first, second = (one_array(table[name]) for name in (FIRST, SECOND))
        turned = pa.array(combine_hashes(np.column_stack([hash_texts(first), hash_texts(second)])) >> np.uint64(63) == 1)
        language = pc.if_else(turned, pa.scalar(languages[1]), pa.scalar(languages[0]))
        yield chunk(pc.if_else(turned, second, first), pc.if_else(turned, first, second), language=language)


Form = tuple[str, ...] | Path
"""How a file holds the two languages: in two columns, in the struct `TRANSLATION`, or in its lines and those of another file."""


def _forms(raw: RawFolder, languages: Sequence[str]) -> dict[Path, Form]:
    """The files of the two languages."""
    forms: dict[Path, Form] = {}
    for path in raw.files_and(lambda path: is_tab_separated(path) or _language_of_lines(path) is not None):
        if _told(raw.name(path)) not in (None, set(languages)):
            raw.leave_out(raw.name(path), f"it names other languages than {' and '.join(languages)}")
        elif (language := _language_of_lines(path)) is None:
            names = TABLES.names(path)
            if form := _columns(names, languages):
                forms[path] = form
            else:
                raw.leave_out(raw.name(path), f"it has no columns of {' and '.join(languages)} (it has {', '.join(names) or 'none'})")
        elif language == languages[0] and (other := _other_side(path, languages[1])):
            forms[path] = other
            raw.leave_out(raw.name(other), f"its lines are read with those of {raw.name(path)}")
    if not forms:
        raise UserError(
            f"{raw.path}: holds no parallel text of {' and '.join(languages)}; put a file with a column for each there, "
            f"or two files of lines that end in .{languages[0]} and .{languages[1]}"
        )
    return forms


def _told(name: str) -> set[str] | None:
    """The languages that a path names, if there are at least two; one of them may be any other, as in en-fi.

    >>> sorted(_told("en-fi/train.parquet")), _told("da/train-00000-of-00001.parquet"), _told("Europarl.da-sv.da") == {"da", "sv"}
    (['en', 'fi'], None, True)
    """
    words = re.split(r"[^a-z]+", name.lower())
    told = {LANGUAGES[word] for word in words if word in LANGUAGES}
    for pair in re.findall(r"(?<![a-z0-9])([a-z]{2})[-_]([a-z]{2})(?![a-z0-9])", name.lower()):
        told |= {LANGUAGES.get(word, word) for word in pair} if not LANGUAGES.keys().isdisjoint(pair) else set()
    return told if len(told) > 1 else None


def _columns(names: Sequence[str], languages: Sequence[str]) -> tuple[str, ...] | None:
    """The columns of the two languages, in their order; None if there are none."""
    if TRANSLATION in names:
        return (TRANSLATION,)
    named = [next((name for name in names if LANGUAGES.get(name.lower()) == language), None) for language in languages]
    if all(named):
        return tuple(name for name in named if name)
    return next((pair for pair in SIDES if set(pair) <= set(names)), None)


def _read(forms: dict[Path, Form], languages: Sequence[str], path: Path, *_: Any) -> Iterator[pa.Table]:
    """The rows of a file with the columns first, second and split."""
    form = forms[path]
    if isinstance(form, Path):
        yield from _read_lines(path, form)
        return
    for table in TABLES.read(path, form, ["split"], as_is=[TRANSLATION]):
        sides = _sides(path, table[TRANSLATION], languages) if form == (TRANSLATION,) else [table[name] for name in form]
        yield pa.table({FIRST: sides[0], SECOND: sides[1], "split": table["split"]})


def _sides(path: Path, column: pa.ChunkedArray, languages: Sequence[str]) -> list[pa.Array]:
    """Both languages of a column of structs, which JSON files hold as text; null where one is missing."""
    try:
        structs = [json.loads(value) if isinstance(value, str) else value or {} for value in column.to_pylist()]
        rows = [{LANGUAGES.get(name.lower()): text for name, text in struct.items()} for struct in structs]
        return [pa.array([row.get(language) for row in rows], pa.string()) for language in languages]
    except (pa.ArrowException, ValueError, AttributeError, TypeError) as error:
        raise UserError(f'{path}: column "{TRANSLATION}" must hold a text for each language ({error}); correct it') from error


def _language_of_lines(path: Path) -> str | None:
    """The language that the ending of a text file's name stands for, such as Europarl.da-sv.da; None for other files."""
    return LANGUAGES.get(path.name.lower().removesuffix(".gz").rpartition(".")[2]) if "." in path.name else None


def _other_side(path: Path, language: str) -> Path | None:
    """The file with the lines in the other language: its name differs from that of ``path`` in its ending alone."""
    stem = path.name.removesuffix(".gz").rpartition(".")[0]
    return next((each for each in sorted(path.parent.glob(f"{stem}.*")) if _language_of_lines(each) == language), None)


def _read_lines(first: Path, second: Path) -> Iterator[pa.Table]:
    pairs = zip_longest(_lines(first), _lines(second))
    while rows := list(islice(pairs, READ_ROWS)):
        if None in rows[-1]:
            raise UserError(f"{first}: must have as many lines as {second.name}; write both again, a line for each sentence")
        columns = [pa.array(column, pa.string()) for column in zip(*rows, strict=True)]
        yield pa.table({FIRST: columns[0], SECOND: columns[1], "split": pa.nulls(len(rows), pa.string())})


def _lines(path: Path) -> Iterator[str]:
    number = 0
    try:
        with opened(path) as file:
            for number, line in enumerate(file, start=1):
                yield line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: line {number} is not valid UTF-8; save the file as UTF-8") from error
