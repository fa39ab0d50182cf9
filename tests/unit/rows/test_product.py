import random
import re

import pyarrow as pa
import pytest

from stages.rows.product import PRODUCT_TOKENS, cut, cut_tokens, plain, product_text


def one(brand=None, title=None, description=None, bullets=None):
    return product_text(*(pa.array([value], pa.string()) for value in (title, brand, description, bullets)))[0].as_py()


def test_a_product_reads_brand_title_description_and_three_bullets():
    text = one("Acme", "Kettle", "Boils <b>water</b> &amp; tea", "fast\nred\ncheap\nnever read")
    assert text == "[Acme] Kettle | Boils water & tea | fast; red; cheap"


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"title": "Kettle"}, "Kettle"),
        ({"title": "Kettle", "brand": " "}, "Kettle"),
        ({"title": "Kettle", "bullets": "a"}, "Kettle | a"),
        ({}, ""),
    ],
)
def test_what_is_missing_leaves_no_trace(fields, text):
    assert (one(**fields) or "") == text


def test_the_description_ends_at_a_word():
    text = one(title="t", description="word " * 100)
    assert text == "t | " + " ".join(["word"] * 40)


def test_the_whole_is_cut_at_the_token_limit():
    text = one(title="t", bullets="\n".join(["abcdefg " * 200] * 3))
    assert len(TOKEN.findall(text)) == PRODUCT_TOKENS
    assert text.endswith("abcdefg")
    assert one(title="Kettle", description="a b", bullets="c d") == "Kettle | a b | c d"
    fields = (pa.array([value], pa.string()) for value in ("Kettle", None, "a b", "c"))
    assert product_text(*fields, tokens=4)[0].as_py() == "Kettle | a b"


TOKEN = re.compile(r"[^\W_]+|[^\w\s]|_")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a b c", "a b c"),
        ("a b c d", "a b c"),
        ("a b 12-Pack", "a b"),
        ("a 12-Pack c", "a"),
        ("12-Pack c", "12-Pack"),
        ("blå (rød) grøn", "blå"),
        ("snø ål blåbær sjø", "snø ål blåbær"),
        ("12-Pack/3.5mm", "12-Pack"),
        ("a | b | c", "a | b"),
        ("a b | c", "a b"),
        ("  a\tb\nc  d", "  a\tb\nc"),
        ("", ""),
        (None, None),
    ],
)
def test_a_cut_at_three_tokens_never_splits_a_word_but_the_only_one(text, expected):
    assert cut_tokens(pa.array(["before", text, "after"], pa.string()), 3).to_pylist() == ["before", expected, "after"]


def test_rows_are_counted_each_for_itself_also_in_a_slice():
    texts = pa.array(["x y", "a b c d", "e", "", "f g h i", "j"])
    assert cut_tokens(texts, 2).to_pylist() == ["x y", "a b", "e", "", "f g", "j"]
    assert cut_tokens(texts.slice(1, 4), 3).to_pylist() == ["a b c", "e", "", "f g h"]
    assert cut_tokens(texts[:0], 3).to_pylist() == []


def test_no_text_keeps_more_tokens_than_the_limit():
    generator = random.Random(1)
    texts = ["".join(generator.choices("abåæ12 -./  ()", k=generator.randint(0, 60))).strip() for _ in range(2_000)]
    for text, short in zip(texts, cut_tokens(pa.array(texts), 7).to_pylist(), strict=True):
        assert text.startswith(short)
        assert len(TOKEN.findall(short)) <= 7
        assert short == text or len(TOKEN.findall(text)) > 7
        assert short.split() == text.split()[: len(short.split())] or len(short.split()) == 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [("abc def", "abc def"), ("abc defg", "abc"), ("abcd efg", "abcd"), ("abcdefghij", "abcdefg"), ("abc d  efgh", "abc d")],
)
def test_a_cut_never_splits_a_word_but_the_only_one(text, expected):
    assert cut(pa.array([text]), 7).to_pylist() == [expected]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<p>a</p><p>b</p>", "a b"),
        ("&lt;br&gt;a", "a"),
        ("a <!-- no --> b", "a b"),
        ("3 < 4 & 5 > 2", "3 < 4 & 5 > 2"),
        ("&amp;nbsp;a", "a"),
        (" <br/> ", None),
    ],
)
def test_html_goes_and_signs_stay(text, expected):
    assert plain(pa.array([text])).to_pylist() == [expected]
