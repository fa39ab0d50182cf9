"""Splits long texts into windows that a model encodes whole, at word boundaries, and counts what truncation would lose.

A model truncates a text after ``max_seq_length`` tokens. Windows of that length, which overlap a little so that a sentence at a boundary is
seen whole, cover all of it. Words are separated by white space; one that is longer than a window is cut.
"""

import re
from collections.abc import Iterable, Iterator, Sequence, Sized
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeVar, cast

import numpy as np
from sentence_transformers import SentenceTransformer, SparseEncoder
from sentence_transformers.base.modules import Router

from stages.retrieval.treatment import Treatment
from stages.runtime.errors import UserError

T = TypeVar("T", bound=Sized)
WORD = re.compile(r"\S+")
AT_ONCE = 2**20  # characters tokenized at a time: their offsets are Python objects, about 100 bytes each
DOCUMENT_PROMPTS = ("document", "passage", "corpus")  # names of a prompt, as sentence-transformers' encode_document looks for them


@dataclass(frozen=True)
class Windows:
    """Splits texts for one tokenizer.

    Attributes:
        tokenizer: of transformers or of tokenizers.
        length: tokens of a window with its prompt and special tokens, at most.
        overlap: tokens that a window shares with the one before it, at most.
        prompt: what the model puts before each window.
    """

    tokenizer: Any
    length: int
    overlap: int = 0
    prompt: str = ""

    @classmethod
    def of(cls, model: SparseEncoder | SentenceTransformer, treatment: Treatment) -> "Windows | None":
        """What splits the documents of ``model`` as ``treatment`` says, or at its maximum length; None if it has none."""
        module: Any = model[0]
        if isinstance(module, Router):
            module = cast(Any, module.sub_modules["document"])[0]
        window = None if treatment.long_documents == "cut" else treatment.window
        limit = min(window or np.inf, getattr(module, "max_seq_length", None) or np.inf)
        prompt = next((model.prompts[name] for name in DOCUMENT_PROMPTS if name in model.prompts), None) or ""
        return cls(module.tokenizer, int(limit), treatment.overlap, prompt) if np.isfinite(limit) else None

    @property
    def room(self) -> int:
        """Tokens of a window's own text, at least 1."""
        special: int = self.tokenizer.num_special_tokens_to_add(False)
        room = self.length - special - (int(self.count([self.prompt])[0]) if self.prompt else 0)
        if room < 1:
            raise UserError(f"model.prompts: the document prompt must leave room in {self.length} tokens; shorten it or raise model.window")
        return room

    def count(self, texts: Sequence[str]) -> np.ndarray:
        """Tokens of each text without special tokens, shape (texts,)."""
        return np.array([len(ends) for _, ends in self.tokens(texts)], dtype=np.int64)

    def tokens(self, texts: Sequence[str]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """For each text its token ids and the character after each token, shapes (tokens,); without special tokens."""
        for part in portions(texts, AT_ONCE):
            yield from _tokens(self.tokenizer, part)

    def long(self, texts: Sequence[str]) -> list[int]:
        """The places of the texts that have more tokens than a window has room for."""
        room = self.room
        return [place for place, ends in self._candidates(texts, room) if len(ends) > room]

    def split(self, texts: Sequence[str]) -> list[list[str]]:
        """The windows of each text, in order; a text that fits is its own only window, unchanged."""
        windows, places, room = [[text] for text in texts], list[int](), self.room
        for place, ends in self._candidates(texts, room):
            if len(ends) > room:
                places.append(place)
                text = texts[place]
                windows[place] = [text[start:end] for start, end in spans(text, ends, room, min(self.overlap, room - 1))]
        return self._fitting(windows, places, room)

    def _candidates(self, texts: Sequence[str], room: int) -> Iterator[tuple[int, np.ndarray]]:
        """The place of each text that may be too long, and the character after each of its tokens."""
        # a token has at least one byte, but for one at the beginning, and a character at most four
        places = [place for place, text in enumerate(texts) if 4 * len(text) >= room and len(text.encode()) >= room]
        for place, (_, ends) in zip(places, self.tokens([texts[place] for place in places]), strict=True):
            yield place, ends

    def _fitting(self, windows: list[list[str]], places: Sequence[int], room: int) -> list[list[str]]:
        """``windows`` with those halved that have more tokens by themselves than in their text, as some tokenizers give the first word."""
        while places:
            counts, changed = iter(self.count([window for place in places for window in windows[place]])), []
            for place in places:
                parts = [part for window in windows[place] for part in (_halves(window) if next(counts) > room else [window])]
                if len(parts) > len(windows[place]):
                    changed.append(place)
                windows[place] = parts
            places = changed
        return windows


def portions(items: Iterable[T], most: int) -> Iterator[list[T]]:
    """Consecutive ``items`` whose lengths add up to at most ``most``, or one that is longer.

    >>> list(portions(["a", "bc", "defg", "h"], 3))
    [['a', 'bc'], ['defg'], ['h']]
    """
    portion: list[T] = []
    size = 0
    for item in items:
        if portion and size + len(item) > most:
            yield portion
            portion, size = [], 0
        portion.append(item)
        size += len(item)
    if portion:
        yield portion


def spans(text: str, token_ends: np.ndarray, room: int, overlap: int) -> list[tuple[int, int]]:
    """First and last character + 1 of each window of ``text``.

    Args:
        token_ends: the character after each of its tokens, shape (tokens,).
        room: tokens of a window, at most. overlap: tokens shared with the window before, at most; below ``room``.
    """
    units = np.array([match.span() for match in WORD.finditer(text)], dtype=np.int64).reshape(-1, 2)
    if not len(units):
        return [(0, len(text))]
    counts = _tokens_of(units, token_ends)
    if counts.max() > room:
        units = np.array([part for unit, count in zip(units.tolist(), counts.tolist(), strict=True) for part in _pieces(unit, count, room)])
        counts = _tokens_of(units, token_ends)
    total = np.concatenate([[0], np.cumsum(counts)])
    first, found = 0, []
    while True:
        after = max(first + 1, int(np.searchsorted(total, total[first] + room, side="right")) - 1)
        found.append((int(units[first, 0]), int(units[after - 1, 1])))
        if after == len(units):
            return found
        shared = int(np.searchsorted(total, total[after] - overlap))
        fits = int(np.searchsorted(total, total[after + 1] - room))  # the next word has to fit too
        first = min(after, max(first + 1, shared, fits))


def _tokens_of(units: np.ndarray, token_ends: np.ndarray) -> np.ndarray:
    """Tokens of each unit, shape (units,): a token belongs to the unit that its last character is in."""
    owners = np.searchsorted(units[:, 0], token_ends - 1, side="right") - 1
    return np.bincount(np.maximum(owners, 0), minlength=len(units))


def _pieces(word: list[int], tokens: int, room: int) -> list[tuple[int, int]]:
    """A word's span in pieces of about ``room`` tokens, by characters; the span of a word that fits unchanged."""
    number = min(-(-tokens // room), word[1] - word[0]) or 1
    return list(pairwise(np.linspace(word[0], word[1], number + 1).astype(int).tolist()))


def _halves(window: str) -> list[str]:
    """Two parts of a window, by words, or of a word, by characters; a single character stays."""
    words = [match.start() for match in WORD.finditer(window)]
    middle = words[len(words) // 2] if len(words) > 1 else len(window) // 2
    return [part for part in (window[:middle].rstrip(), window[middle:]) if part]


def _tokens(tokenizer: Any, texts: list[str]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    backend = getattr(tokenizer, "backend_tokenizer", tokenizer)
    if hasattr(backend, "encode_batch"):
        with _untruncated(backend):
            encodings = backend.encode_batch(texts, add_special_tokens=False)
        for encoding in encodings:
            yield np.array(encoding.ids, dtype=np.int64), np.array(encoding.offsets, dtype=np.int64).reshape(-1, 2)[:, 1]
    else:  # a slow tokenizer, which knows no offsets: each word by itself
        for text in texts:
            words = [(match.end(), tokenizer.convert_tokens_to_ids(tokenizer.tokenize(match[0]))) for match in WORD.finditer(text)]
            pairs = [(token, end) for end, tokens in words for token in tokens]
            ids, ends = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
            yield ids, ends


@contextmanager
def _untruncated(backend: Any) -> Iterator[None]:
    """Without truncation and padding, which are a tokenizer's state and are saved with it."""
    truncation, padding = backend.truncation, backend.padding
    backend.no_truncation()
    backend.no_padding()
    try:
        yield
    finally:
        if truncation:
            backend.enable_truncation(**truncation)
        if padding:
            backend.enable_padding(**padding)
