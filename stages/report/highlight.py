"""Where the terms of a model stand in a text.

A term is a word piece as `stages.evaluate.terms` names it: "hoved" begins a word, "-staden" continues one. The page loads no tokenizer, so
each word of the text is put together from the terms as WordPiece would, longest piece first. A short run of pieces that is not the whole
word is left out, because "-en" is in every other word. Case is ignored; so are accents for a term that is not found with them, because
some tokenizers drop them.
"""

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping

SHORTEST = 3  # letters of a run of pieces that is not a whole word
Places = Mapping[str, list[tuple[int, int]]]
"""Term → start and end of each of its places in a text; an expansion has none and is left out."""


def find(text: str, terms: Iterable[str]) -> Places:
    """The places of ``terms`` in ``text``.

    >>> find("Oslo er hovedstaden.", ["-staden", "oslo", "by"])
    {'-staden': [(13, 19)], 'oslo': [(0, 4)]}
    """
    wanted = list(dict.fromkeys(terms))
    found = _find(text, wanted, str.lower)
    if missing := [term for term in wanted if term not in found]:
        found |= {term: places for term, places in _find(text, wanted, _without_accents).items() if term in missing}
    return found


def highlighted(text: str, places: Places) -> list[tuple[str, bool]]:
    """``text`` in parts, each with whether a term covers it.

    >>> highlighted("Oslo er hovedstaden.", {"-staden": [(13, 19)]})
    [('Oslo er hoved', False), ('staden', True), ('.', False)]
    """
    marked = [False] * len(text)
    for start, end in (place for some in places.values() for place in some):
        marked[start:end] = [True] * (end - start)
    parts: list[tuple[str, bool]] = []
    for character, mark in zip(text, marked, strict=True):
        if parts and parts[-1][1] == mark:
            parts[-1] = (parts[-1][0] + character, mark)
        else:
            parts.append((character, mark))
    return parts


def _find(text: str, terms: Iterable[str], fold: Callable[[str], str]) -> dict[str, list[tuple[int, int]]]:
    pairs = [(letter, position) for position, character in enumerate(text) for letter in fold(character)]
    letters = "".join(letter for letter, _ in pairs)
    begins: dict[str, str] = {}
    continues: dict[str, str] = {}
    others: dict[str, str] = {}
    for term in terms:
        continued = len(term) > 1 and term.startswith("-")
        piece = "".join(map(fold, unicodedata.normalize("NFC", term[continued:])))
        kind = continues if continued else begins if re.fullmatch(r"\w+", piece) else others
        kind[piece] = term
    words: dict[str, list[tuple[int, int]]] = {}
    parts: dict[str, list[tuple[int, int]]] = {}
    for word in re.finditer(r"\w+", letters):
        for run in _runs(word[0], begins, continues):
            length, longest = run[-1][1] - run[0][0], max(end - start for start, end, _ in run)
            whole = length == len(word[0])
            if whole or (length >= SHORTEST and (run[0][0] == 0 or longest >= SHORTEST)):
                for start, end, term in run:
                    place = pairs[word.start() + start][1], pairs[word.start() + end - 1][1] + 1
                    (words if whole else parts).setdefault(term, []).append(place)
    found = parts | words  # where a term makes up a word, its other places are likely other words
    for piece, term in others.items():  # "7-Eleven", "°"
        if places := [
            (pairs[match.start()][1], pairs[match.end() - 1][1] + 1) for match in re.finditer(re.escape(piece), letters) if piece
        ]:
            found[term] = places
    return found


def _runs(word: str, begins: Mapping[str, str], continues: Mapping[str, str]) -> list[list[tuple[int, int, str]]]:
    """Runs of adjacent pieces (start, end, term) in a word."""
    runs: list[list[tuple[int, int, str]]] = []
    start = 0
    while start < len(word):
        pieces = continues if start else begins
        end = next((end for end in range(len(word), start, -1) if word[start:end] in pieces), None)
        if end is None:
            start += 1
            continue
        piece = (start, end, pieces[word[start:end]])
        if runs and runs[-1][-1][1] == start:
            runs[-1].append(piece)
        else:
            runs.append([piece])
        start = end
    return runs


def _without_accents(character: str) -> str:
    return "".join(letter for letter in unicodedata.normalize("NFD", character.lower()) if not unicodedata.combining(letter))
