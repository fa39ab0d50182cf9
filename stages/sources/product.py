"""A product as one text: ``[brand] title | description | first three bullets``, without HTML, never cut inside a word."""

import html
import re

import pyarrow as pa
import pyarrow.compute as pc

from stages.sources.chunk import Texts

DESCRIPTION_CHARACTERS, BULLETS, SEPARATOR = 200, 3, " | "
PRODUCT_CHARACTERS = 1600
"""About 400 tokens: within the 512 that a BERT reads, so that the tokenizer does not cut inside a word."""
_TAG = re.compile(r"<!--.*?-->|</?[a-zA-Z][^<>]*>", re.DOTALL)


def product_text(brand: Texts, title: Texts, description: Texts, bullets: Texts) -> Texts:
    """One text a product; what is null or empty is left out. ``bullets`` holds one bullet a line."""
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
    return cut(joined, PRODUCT_CHARACTERS)


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


def _without_html(text: str) -> str:
    """Tags out, entities to characters; twice, since shops escape their HTML once more than needed."""
    for _ in range(2):
        text = html.unescape(_TAG.sub(" ", text))
    return " ".join(_TAG.sub(" ", text).split())
