import random
import unicodedata

import numpy as np
import pyarrow as pa
import pytest

from stages.rows.normalisation import HashSet, combine_hashes, fold, hash_texts, nfc, normal_form

LETTERS = [chr(code) for code in range(1, 0x250)] + list("ﬁ–—“”…‰\u2003\u3000\u00a0\u2028ẞKÅſςΣİ한\u0301\u030a")
NORDIC = list("abc ÆØÅæøå–”ABC  ")


@pytest.fixture(scope="module")
def texts() -> list[str | None]:
    """Texts of plain Nordic letters and of odd ones, some null, some empty."""
    generator = random.Random(1)
    rows: list[str | None] = [None, "", " ", "\n"]
    for _ in range(20_000):
        rows.append("".join(generator.choices(LETTERS if generator.random() < 0.5 else NORDIC, k=generator.randint(0, 25))))
    return rows


def test_the_normal_form_is_what_python_says(texts):
    assert normal_form(pa.array(texts)).to_pylist() == [None if text is None else fold(text) for text in texts]


def test_nfc_is_what_python_says(texts):
    expected = [None if text is None else unicodedata.normalize("NFC", text) for text in texts]
    assert nfc(pa.array(texts)).to_pylist() == expected


def test_slices_are_their_own_rows(texts):
    part = pa.array(texts).slice(1_000, 500)
    assert normal_form(part).to_pylist() == [None if text is None else fold(text) for text in texts[1_000:1_500]]
    assert hash_texts(part).tolist() == hash_texts(pa.array(texts[1_000:1_500])).tolist()


def test_long_texts_are_scanned_whole():
    text = "a" * 300_000 + "  Ø\u0301"
    assert normal_form(pa.array([text, "B"])).to_pylist() == [fold(text), "b"]


def test_only_null_hashes_to_nothing():
    hashes = hash_texts(pa.array(["a", None, "", "a"]))
    assert (hashes == 0).tolist() == [False, True, False, False]
    assert hashes[0] == hashes[3] != hashes[2]


def test_the_place_of_a_text_counts_in_the_hash_of_its_row():
    one, other, both = combine_hashes(np.array([[5, 7], [7, 5], [5, 7]], dtype=np.uint64))
    assert one == both != other


def test_a_hash_set_knows_what_was_added_and_what_came_first():
    generator = np.random.default_rng(0)
    known: set[int] = set()
    hashes = HashSet()
    for _ in range(50):
        new = generator.integers(1, 2_000, 100).astype(np.uint64)
        expected = []
        for value in new.tolist():
            expected.append(value not in known)
            known.add(value)
        assert hashes.add(new).tolist() == expected
        queries = generator.integers(1, 2_000, (30, 3)).astype(np.uint64)
        assert hashes.contains(queries).tolist() == [[value in known for value in row] for row in queries.tolist()]
    assert len(hashes) == len(known)


def test_an_empty_hash_set_contains_nothing():
    assert not HashSet().contains(np.array([0, 1], dtype=np.uint64)).any()
