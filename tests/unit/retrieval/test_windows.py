"""Windows of long texts: whole words, every word, and nothing that the model would truncate."""

import random
from typing import Any

import pytest
from sentence_transformers import SparseEncoder
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import BertTokenizer, PreTrainedTokenizerFast

from stages.retrieval.treatment import UNTREATED, Treatment
from stages.retrieval.windows import WORD, Windows
from tests.refused import refused
from tests.unit.conftest import WORDS

NORDIC = ["Blåbærsyltetøy", "på", "Ærø,", "ÅRSMØTE", "i", "Växjö", "…"]


def byte_level() -> PreTrainedTokenizerFast:
    """A token a byte: ø has two, and a word after a blank has one more than at the beginning."""
    tokenizer = Tokenizer(models.BPE({piece: row for row, piece in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer)


def metaspace() -> PreTrainedTokenizerFast:
    letters = sorted({"▁", *"".join(NORDIC), *"abcdefghijklmnopqrstuvwxyz"})
    tokenizer = Tokenizer(models.BPE({piece: row for row, piece in enumerate(letters)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer)


def words() -> PreTrainedTokenizerFast:
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, *NORDIC]
    return BertTokenizer(vocab={token: row for row, token in enumerate(tokens)})


class Slow:
    """What transformers' slow tokenizers have: no offsets. A token a letter."""

    def tokenize(self, text: str) -> list[str]:
        return [letter for letter in text if not letter.isspace()]

    def convert_tokens_to_ids(self, tokens: list[str]) -> list[int]:
        return [ord(token) for token in tokens]

    def num_special_tokens_to_add(self, pair: bool) -> int:
        return 2


TOKENIZERS = {"byte-level": byte_level(), "metaspace": metaspace(), "words": words(), "slow": Slow()}


@pytest.mark.parametrize("overlap", [0, 7])
@pytest.mark.parametrize("name", TOKENIZERS)
def test_windows_are_whole_words_in_order_without_gaps_and_fit(name: str, overlap: int) -> None:
    windows = Windows(TOKENIZERS[name], length=40, overlap=overlap)
    drawn = random.Random(5)
    text = "  ".join(drawn.choices(NORDIC + WORDS, k=200))
    [parts] = windows.split([text])
    assert len(parts) > 4
    assert windows.count(parts).max() <= windows.room <= 40
    given, place = [match.span() for match in WORD.finditer(text)], 0
    for part in parts:
        start = text.index(part, place)
        first = [begin for begin, _ in given].index(start)
        last = [end for _, end in given].index(start + len(part))
        covered = [match[0] for match in WORD.finditer(text[given[0][0] : given[last][1]])]
        assert part.split() == covered[first:]
        place = start + 1
    assert parts[0].split() == text.split()[: len(parts[0].split())] and text.endswith(parts[-1])


def spans_of(text: str, parts: list[str]) -> list[tuple[int, int]]:
    """First word and last word + 1 of each window; the words of ``text`` are distinct."""
    places = {word: place for place, word in enumerate(text.split())}
    return [(places[part.split()[0]], places[part.split()[-1]] + 1) for part in parts]


@pytest.mark.parametrize(("overlap", "expected"), [
    (0, [(0, 4), (4, 8), (8, 10)]), (1, [(0, 4), (3, 7), (6, 10)]), (2, [(0, 4), (2, 6), (4, 8), (6, 10)]),
])  # fmt: skip
def test_windows_overlap_by_the_tokens_asked_for(overlap: int, expected: list[tuple[int, int]]) -> None:
    text = " ".join(WORDS[:10])
    [parts] = Windows(words(), length=6, overlap=overlap).split([text])  # two special tokens
    assert spans_of(text, parts) == expected


def test_a_long_word_after_the_overlap_shortens_the_overlap_and_gives_no_window_of_old_words() -> None:
    """A window that could not hold the next word would only repeat what the one before it has."""
    text = "a b c dddd eeeeeee"
    [parts] = Windows(Slow(), length=9, overlap=3).split([text])
    assert parts == ["a b c dddd", "eeeeeee"]


def test_a_text_that_fits_is_unchanged() -> None:
    texts = ["", "  ", " to  ord\n", *WORDS[:2]]
    assert Windows(words(), length=8).split(texts) == [[text] for text in texts]


@pytest.mark.parametrize("word", ["ø" * 300, "😀" * 100, "a" * 200 + "😀" * 50])
@pytest.mark.parametrize("name", ["byte-level", "slow"])
def test_a_word_longer_than_a_window_is_cut_and_nothing_of_it_is_lost(name: str, word: str) -> None:
    windows = Windows(TOKENIZERS[name], length=32)
    [parts] = windows.split([f"før {word} etter"])
    assert "".join("".join(parts).split()) == f"før{word}etter"
    assert windows.count(parts).max() <= windows.room


def test_a_tokenizer_that_gives_the_first_word_more_tokens_does_not_overfill_a_window() -> None:
    class Backend(Slow):
        truncation = padding = None

        def no_truncation(self) -> None: ...

        no_padding = no_truncation

        def encode_batch(self, texts: list[str], add_special_tokens: bool) -> list[Any]:
            def encoding(text: str) -> Any:
                ends = [place + 1 for place, letter in enumerate(text) if not letter.isspace()]
                ends = [1] * (3 if text.startswith("b") else 0) + ends
                return type("Encoding", (), {"ids": [0] * len(ends), "offsets": [(end - 1, end) for end in ends]})

            return [encoding(text) for text in texts]

    windows = Windows(Backend(), length=8)
    [parts] = windows.split(["aa aa aa b aaaa aaaa a"])
    assert windows.count(parts).max() <= 6
    assert " ".join(parts) == "aa aa aa b aaaa aaaa a"


def test_prompt_and_special_tokens_are_part_of_a_window() -> None:
    windows = Windows(words(), length=6, prompt=f"{WORDS[0]} ")
    assert windows.room == 3
    assert [len(part.split()) for part in windows.split([" ".join(WORDS[:7])])[0]] == [3, 3, 1]
    with refused("document prompt", "room in 3 tokens"):
        Windows(words(), length=3, prompt=f"{WORDS[0]} ").split(["x"])


def test_a_tokenizers_truncation_and_padding_stay_as_they_were() -> None:
    tokenizer = words()
    tokenizer(["a", "b c"], truncation=True, padding=True, max_length=16)
    before = tokenizer.backend_tokenizer.to_str()
    assert Windows(tokenizer, length=16).count([" ".join(WORDS * 3)]) == [len(WORDS) * 3]
    assert tokenizer.backend_tokenizer.to_str() == before


@pytest.mark.parametrize("architecture", ["splade", "inference_free", "csr"])
def test_a_model_has_windows_of_its_length_or_of_the_shorter_window(architecture: str, request: pytest.FixtureRequest) -> None:
    model: SparseEncoder = request.getfixturevalue(architecture)
    lengths = {Treatment("max_score", window=16): 16, Treatment("max_score", window=64): 32, Treatment("cut", window=16): 32, UNTREATED: 32}
    for treatment, length in lengths.items():
        windows = Windows.of(model, treatment)
        assert windows and windows.length == length
