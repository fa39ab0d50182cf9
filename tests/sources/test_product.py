import pyarrow as pa
import pytest

from stages.sources.product import PRODUCT_CHARACTERS, cut, plain, product_text


def one(brand=None, title=None, description=None, bullets=None):
    return product_text(*(pa.array([value], pa.string()) for value in (brand, title, description, bullets)))[0].as_py()


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


def test_the_whole_is_cut_at_a_word():
    text = one(title="t", bullets="\n".join(["abcdefg " * 200] * 3))
    assert len(text) <= PRODUCT_CHARACTERS
    assert text.endswith("abcdefg")


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
