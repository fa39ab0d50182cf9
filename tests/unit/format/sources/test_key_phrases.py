"""Key phrases: words that a document uses and others do not."""

from stages.format.sources.key_phrases import KeyPhrases

TEXTS = [
    "Soveposen er varm. Soveposen har glidelås og en lang snor.",
    "Teltet er varmt og har plass til to.",
    "Kjelen er rød og har lokk.",
    "Koppen er rød og har hank.",
    "Lua er varm og har dusk.",
]


def phrases_of(text, number=3, texts=TEXTS):
    phrases = KeyPhrases()
    phrases.count(texts)
    return phrases.of(text, number)


def test_phrases_begin_and_end_with_words_of_their_own_document_and_share_none():
    found = phrases_of(TEXTS[0])
    words = [word.lower() for phrase in found for word in phrase.split()]
    assert {"soveposen", "glidelås"} <= set(words)
    assert len(words) == len(set(words))
    assert all(phrase.split()[side] not in ("er", "har", "og") for phrase in found for side in (0, -1))


def test_a_phrase_does_not_cross_a_sentence():
    assert not any("varm Soveposen" in phrase for phrase in phrases_of(TEXTS[0], 10))


def test_a_text_of_common_words_numbers_or_nothing_has_none():
    assert [phrases_of(text) for text in ("er og har", "17 1,5", "", "!?")] == [[], [], [], []]


def test_a_single_document_has_phrases():
    assert phrases_of("en varm sovepose", 1, ["en varm sovepose"]) == ["en varm sovepose"]


def test_at_most_the_number_asked_for_in_the_same_order():
    assert phrases_of(TEXTS[0], 1) == phrases_of(TEXTS[0], 3)[:1]
    assert phrases_of(TEXTS[0], 0) == []
