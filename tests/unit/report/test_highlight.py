"""Terms are found where a tokenizer would have found them, and nowhere else."""

import pytest

from stages.report.highlight import find, highlighted


def marked(text: str, *terms: str) -> list[str]:
    return [part for part, mark in highlighted(text, find(text, terms)) if mark]


@pytest.mark.parametrize(
    ("text", "terms", "expected"),
    [
        ("Åpent i Brønnøysund", ["br", "-øn", "-n", "-øy", "-sund"], ["Brønnøysund"]),  # short pieces that make up a word
        ("Hvem har den?", ["-en", "-n"], []),  # and those that do not
        ("Du skal til Skanderborg", ["ska", "-nderborg"], ["Skanderborg"]),  # a piece of one word is not looked for in another
        ("skolen er i byen", ["skole", "by", "er"], ["skole", "er"]),  # "by" is too short for a part of a word
        ("Oslo OSLO oslo", ["oslo"], ["Oslo", "OSLO", "oslo"]),
        ("Smörgåsbord på Malmö", ["smorgasbord", "malmo"], ["Smörgåsbord", "Malmö"]),  # a tokenizer that drops accents
        ("får og far", ["far"], ["far"]),  # and one that keeps them
        ("A\u030apent nå", ["åpent"], ["A\u030apent"]),  # decomposed letters
        ("50 % rabatt", ["%"], ["%"]),
        ("", ["a"], []),
        ("uten ord", ["", "-", "latent 12"], []),
    ],
)
def test_terms_in_a_text(text: str, terms: list[str], expected: list[str]) -> None:
    assert marked(text, *terms) == expected


def test_the_parts_are_the_text() -> None:
    text = "Ærfuglen, İstanbul og ẞ på 7-Eleven"
    assert "".join(part for part, _ in highlighted(text, find(text, ["ærfugl", "-en", "istanbul", "ss", "7"]))) == text
