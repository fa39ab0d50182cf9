"""A product as one text: ``[brand] title | description | first three bullets``, without HTML, never cut inside a word."""

import html
import re
import string
from itertools import islice
from typing import TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

from stages.rows.normalisation import replace_where

Texts: TypeAlias = pa.StringArray

DESCRIPTION_CHARACTERS, BULLETS, SEPARATOR = 200, 3, " | "
PRODUCT_TOKENS = 400
"""Leaves room for rare words, which a tokenizer splits into pieces, below the 512 pieces that a BERT reads."""
_LETTERS = "0-9A-Za-z\x80-\U0010ffff"
_TOKEN = re.compile(f"[{_LETTERS}]+|[^{_LETTERS} \t-\r]")
_TAG = re.compile(r"<!--.*?-->|</?[a-zA-Z][^<>]*>", re.DOTALL)


def product_text(title: Texts, brand: Texts, description: Texts, bullets: Texts, tokens: int = PRODUCT_TOKENS) -> Texts:
    """One text of at most ``tokens`` tokens per product; null or empty fields are left out. ``bullets`` has one bullet per line."""
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
    texts = pc.utf8_trim_whitespace(replace_where(pc.match_substring_regex(texts, "[<&]"), _without_html, texts, texts))
    return pc.if_else(pc.equal(texts, ""), pa.scalar(None, pa.string()), texts)


def cut(texts: Texts, characters: int) -> Texts:
    """The first ``characters`` of each text; a word that would be cut is left out, unless it is the only one."""
    heads = pc.utf8_slice_codeunits(texts, 0, characters + 1)
    whole_words = pc.utf8_slice_codeunits(pc.replace_substring_regex(heads, r"\s+\S*$", ""), 0, characters)
    return pc.if_else(pc.greater(pc.utf8_length(texts), characters), whole_words, texts)


def cut_tokens(texts: Texts, tokens: int) -> Texts:
    """The first ``tokens`` tokens of each text; a word that would be cut is left out, unless it is the only one.

    A token is a run of letters and digits or a single sign, as BERT splits a text before word pieces, so the limit depends on no model.
    Signs beyond ASCII count as letters.
    """

    def head(text: str) -> str:
        beyond = next(islice(_TOKEN.finditer(text), tokens, None), None)
        if beyond is None:
            return text
        end = beyond.start()
        whole_words = text[:end] if text[end - 1].isspace() else text[:end].rsplit(maxsplit=1)[0]
        return whole_words.rstrip(f"{string.whitespace}|")

    # An upper bound, as each sign and blank ends at most one word; it takes a third of the time of counting tokens.
    signs, blanks = pc.count_substring_regex(texts, f"[^{_LETTERS} ]"), pc.count_substring(texts, " ")
    most = pc.add(pc.add(pc.multiply(signs, 2), blanks), 1)
    return replace_where(pc.greater(most, tokens), head, texts, texts)


def _without_html(text: str) -> str:
    """Remove tags and decode entities, twice: shops often escape their HTML twice."""
    for _ in range(2):
        text = html.unescape(_TAG.sub(" ", text))
    return " ".join(_TAG.sub(" ", text).split())
