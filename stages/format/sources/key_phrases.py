"""Key phrases of documents, by TF-IDF: one to three neighbouring words that a document uses often and other documents seldom.

Knows no language: common words are those of many documents of the folder. What this gives up: inflected forms count as words of their own.
Memory does not grow with the documents, as words are counted by hash.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator

import numpy as np
from xxhash import xxh3_64_intdigest

BUCKETS = 2**22
LONGEST = 3
COMMON = 0.2
"""Share of the documents from which on a word is common: no phrase begins or ends with one."""
_SEGMENT, _WORD = re.compile(r"[.,;:!?()\[\]{}|\"«»“”\n\t]+"), re.compile(r"\w+(?:[-'’]\w+)*")


class KeyPhrases:
    """Counts the words of all documents first, then gives the key phrases of each.

    >>> phrases = KeyPhrases()
    >>> phrases.count(["Soveposen er varm. En varm sovepose.", "Teltet er lett.", "Kjelen er rød.", "Koppen er rød.", "Lua er lett."])
    >>> phrases.of("Soveposen er varm. En varm sovepose.", 2)
    ['En varm sovepose', 'Soveposen']
    """

    def __init__(self) -> None:
        self._documents = 0
        self._counts = np.zeros(BUCKETS, dtype=np.uint32)

    def count(self, texts: Iterable[str]) -> None:
        """Count documents."""
        for text in texts:
            self._documents += 1
            words = {_bucket(word) for word in _WORD.findall(text.lower())}
            self._counts[list(words)] += 1

    def of(self, text: str, number: int) -> list[str]:
        """At most ``number`` phrases of a document, the best first; no two share a word."""
        segments = [list(_WORD.findall(segment)) for segment in _SEGMENT.split(text)]
        times = Counter(word.lower() for words in segments for word in words)
        weights = {word: self._weight(word, count) for word, count in times.items()}
        scores: dict[tuple[str, ...], float] = {}
        for phrase in _runs(segments):
            known = [weights[word.lower()] for word in phrase]
            if known[0] and known[-1]:
                scores.setdefault(phrase, sum(known))
        chosen: list[str] = []
        used: set[str] = set()
        for phrase in sorted(scores, key=scores.__getitem__, reverse=True):
            if len(chosen) == number:
                break
            lower = {word.lower() for word in phrase}
            if not lower & used:
                chosen.append(" ".join(phrase))
                used |= lower
        return chosen

    def _weight(self, word: str, times: int) -> float:
        """TF-IDF of a word; 0 if it is common, a number, or a single letter."""
        documents = int(self._counts[_bucket(word)])
        if len(word) < 2 or word.isdecimal() or documents > max(COMMON * self._documents, 1):
            return 0.0
        return float((1 + np.log(times)) * np.log((1 + self._documents) / max(documents, 1)))


def _runs(segments: Iterable[list[str]]) -> Iterator[tuple[str, ...]]:
    for words in segments:
        for start in range(len(words)):
            for end in range(start + 1, min(start + LONGEST, len(words)) + 1):
                yield tuple(words[start:end])


def _bucket(word: str) -> int:
    return xxh3_64_intdigest(word.encode()) % BUCKETS
