"""A product as one text: ``[brand] title | description | first three bullets``, without HTML, never cut inside a word."""

import html
import re
import string

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stages.format.sources.chunk import Texts
from stages.rows.normalisation import utf8_bytes

DESCRIPTION_CHARACTERS, BULLETS, SEPARATOR = 200, 3, " | "
PRODUCT_TOKENS = 400
"""Leaves room for the pieces that a tokenizer makes of rare words, below the 512 that a BERT reads before it cuts inside a word."""
_SPACE, _LETTER, _SIGN = range(3)
_KINDS = bytes(
    _LETTER if code >= 0x80 or chr(code).isalnum() else _SPACE if chr(code) in string.whitespace else _SIGN for code in range(256)
)
_TAG = re.compile(r"<!--.*?-->|</?[a-zA-Z][^<>]*>", re.DOTALL)


def product_text(brand: Texts, title: Texts, description: Texts, bullets: Texts, tokens: int = PRODUCT_TOKENS) -> Texts:
    """One text of at most ``tokens`` tokens a product; what is null or empty is left out. ``bullets`` holds one bullet a line."""
    title = plain(title)
    brand = plain(brand)
    first = pc.if_else(pc.is_valid(brand), pc.binary_join_element_wise("[", brand, "] ", pc.fill_null(title, ""), ""), title)
    beginning = pc.utf8_slice_codeunits(description, 0, 20 * DESCRIPTION_CHARACTERS)  # the rest is cut off anyway
    description = cut(plain(beginning), DESCRIPTION_CHARACTERS)
    lines = pc.list_slice(pc.split_pattern(bullets, "\n", max_splits=BULLETS), 0, BULLETS)
    points = plain(pc.binary_join(lines, "; "))
    # The "" at the end is never null: Arrow 25 leaves out a row of nulls altogether, and the result is too short.
    joined = pc.binary_join_element_wise(first, description, points, "", SEPARATOR, null_handling="skip")
    joined = pc.utf8_slice_codeunits(joined, 0, -len(SEPARATOR))
    return cut_tokens(joined, tokens)


def plain(texts: Texts) -> Texts:
    """``texts`` without HTML tags and entities, stripped; null where nothing is left."""
    marked = pc.fill_null(pc.or_(pc.match_substring(texts, "<"), pc.match_substring(texts, "&")), False)
    if pc.any(marked).as_py():
        stripped = [_without_html(text) for text in texts.filter(marked).to_pylist()]
        texts = pc.replace_with_mask(texts, marked, pa.array(stripped, pa.string()))
    texts = pc.utf8_trim_whitespace(texts)
    return pc.if_else(pc.equal(texts, ""), pa.scalar(None, pa.string()), texts)


def cut(texts: Texts, characters: int) -> Texts:
    """The first ``characters`` of each text; a word that would be cut is left out, unless it is the only one."""
    long = pc.fill_null(pc.greater(pc.utf8_length(texts), characters), False)
    if not pc.any(long).as_py():
        return texts
    head = pc.utf8_slice_codeunits(texts.filter(long), 0, characters + 1)
    whole_words = pc.replace_substring_regex(head, r"\s+\S*$", "")
    return pc.replace_with_mask(texts, long, pc.utf8_slice_codeunits(whole_words, 0, characters))


def cut_tokens(texts: Texts, tokens: int) -> Texts:
    """The first ``tokens`` tokens of each text; a word that would be cut is left out, unless it is the only one.

    A token is a run of letters and digits or a single sign, as BERT splits a text before it looks for word pieces; so the limit needs no
    model and stays the same with another. Signs beyond ASCII count as letters.
    """
    offsets, data = utf8_bytes(texts)
    ends = offsets[1:] - offsets[0]
    starts = offsets[:-1] - offsets[0]
    kinds = np.frombuffer(data.tobytes().translate(_KINDS), dtype=np.uint8)
    begins = kinds != _SPACE
    begins[1:] &= (kinds[1:] != _LETTER) | (kinds[:-1] != _LETTER)
    rows = np.flatnonzero(starts < ends)
    begins[starts[rows]] = kinds[starts[rows]] != _SPACE  # also where the row before ends in a letter
    counts = np.add.reduceat(begins, starts[rows], dtype=np.int32) if len(rows) else rows
    long = rows[counts > tokens]
    if not len(long):
        return texts
    mask = np.zeros(len(texts), dtype=bool)
    mask[long] = True
    heads = [
        bytes(data[start : start + np.flatnonzero(begins[start:end])[tokens]]).decode()
        for start, end in zip(starts[long].tolist(), ends[long].tolist(), strict=True)
    ]
    whole_words = [(head if head[-1].isspace() else head.rsplit(maxsplit=1)[0]).rstrip(f"{string.whitespace}|") for head in heads]
    return pc.replace_with_mask(texts, pa.array(mask), pa.array(whole_words, pa.string()))


def _without_html(text: str) -> str:
    """Tags out, entities to characters; twice, since shops escape their HTML once more than needed."""
    for _ in range(2):
        text = html.unescape(_TAG.sub(" ", text))
    return " ".join(_TAG.sub(" ", text).split())
