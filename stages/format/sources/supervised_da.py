"""Supervised-DA (jealk/supervised-da): query, pos and, in its newer revisions, ``dataset_name`` and a float ``label``;
Danish, with some Swedish and Norwegian sets.

A set's language is the one that a word of its name stands for (``swe``, ``no``, ``danish`` …). If there is none, or more than one, the
entry's ``dataset_languages`` must give it: a wrong guess would go unnoticed.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping

import pyarrow as pa
import pyarrow.compute as pc

from stages.format.sources.chunk import LANGUAGES, Chunk, Options, chunk
from stages.format.sources.folder import RawFolder
from stages.format.sources.labels import LABEL, judged
from stages.hub.splits import Split
from stages.rows.parquet import one_array
from stages.runtime.errors import UserError

NAME = "dataset_name"
WORDS = LANGUAGES | {"dk": "da", "dansk": "da", "se": "sv", "svensk": "sv", "svenska": "sv", "nor": "nb", "norsk": "nb"}
WORDS |= {"danfever": "da", "nordjylland": "da", "swefaq": "sv", "swenli": "sv", "norquad": "nb"}
"""Words in a set's name → its language: languages, countries, and sets known to be in one language."""
PARTS = {"danews", "news", "gemma", "europarl", "opensubtitles", "opensub", "wikiqa", "folketinget", "ft", "hestenet", "hest"}
"""Words in the names of the original, Danish parts: news, Wikipedia with queries by Gemma, Europarl, OpenSubtitles, …"""
OTHERS = "*"
SHOWN = 20


def read(raw: RawFolder, split: Split, options: Options) -> Iterator[Chunk]:
    """Yield (query, positive) pairs of the rows with label 1, each in the language of its ``dataset_name``.

    Rows of older revisions, which lack that column, are in ``options.language``.

    Raises:
        UserError: the language of some names is not known; it lists them all, with their numbers of rows.
    """
    unknown: Counter[str] = Counter()
    mapping = dict(options.dataset_languages or {})
    unused = set(mapping) - {OTHERS}
    for path, table in raw.read_split(split, ["query", "pos"], [LABEL, NAME], lists=["pos"]):
        names = one_array(table[NAME]).dictionary_encode()
        named = names.dictionary.to_pylist()
        codes = [language_of_name(name, mapping) for name in named]
        for name, code in zip(named, codes, strict=True):
            if code is None:
                unknown[name] += int(pc.sum(pc.equal(table[NAME], name)).as_py())
        unused -= set(named)
        languages = pa.array(codes, pa.string()).take(names.indices)
        languages = pc.if_else(pc.is_null(names.indices), pa.scalar(options.language, pa.string()), languages)
        reasons, notes = judged(table[LABEL], path)
        reasons = {"language not chosen": options.unwanted(languages), **reasons}
        found = chunk(table["query"], table["pos"], language=languages, reasons=reasons, notes=notes)
        if named and names.null_count:
            found.notes[f"rows read have no {NAME}, taken as {options.language}"] = names.null_count
        yield found
    if unknown:
        shown = ", ".join(f"{name!r} ({rows} rows)" for name, rows in unknown.most_common(SHOWN))
        more = f" and {len(unknown) - SHOWN} more" if len(unknown) > SHOWN else ""
        raise UserError(
            f"datasets.{raw.path.name}.dataset_languages: the language of {NAME} {shown}{more} is not known; "
            f'map each, such as {{{json.dumps(unknown.most_common(1)[0][0], ensure_ascii=False)}: da}}, or all others, {{"{OTHERS}": da}}'
        )
    if unused and split == "train":
        names = ", ".join(map(repr, sorted(unused)))
        raw.warn(f"dataset_languages names {names}, which no row has as its {NAME}; correct or remove it")


def language_of_name(name: str, mapping: Mapping[str, str]) -> str | None:
    """The language of a set: as mapped, else the only one in its name, else as mapped for all others.

    >>> language_of_name("europarl_swe", {}), language_of_name("europarl", {}), language_of_name("lyrics", {})
    ('sv', 'da', None)
    """
    words = re.findall(r"[^\W\d_]+", name.lower())
    told = {WORDS[word] for word in words if word in WORDS} or ({"da"} if PARTS & set(words) else set())
    told -= {"nb"} if "nn" in told else set()  # nn-NO
    return mapping.get(name) or (told.pop() if len(told) == 1 else None) or mapping.get(OTHERS)
