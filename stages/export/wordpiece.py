"""A WordPiece tokenizer as plain data that `encode_wordpiece` reads: tables in place of the `tokenizers` package's code.

Python's own tables of punctuation and white space are of another Unicode version than the package's. So what the package makes of every
character is written down. Only the composed or decomposed form of a text is left to Python's ``unicodedata``.
"""

from typing import Any

from tokenizers import Tokenizer

FORMS = ("NFC", "NFD", "NFKC", "NFKD")
BY_CHARACTER = ("Lowercase", "StripAccents", "BertNormalizer")  # normalizers that look at one character at a time
ASSIGNED = [range(0xD800), range(0xE000, 0x40000), range(0xE0000, 0x110000)]  # Unicode has no characters in between
BLOCK = 256  # characters that are looked at together; most blocks stay as they are


def plain(tokenizer: Tokenizer, description: dict[str, Any]) -> dict[str, Any] | None:
    """The tables for `encode_wordpiece`; None for a tokenizer of another kind.

    Args:
        description: the content of the tokenizer's tokenizer.json.
    """
    model, normalizer = description["model"], description["normalizer"]
    steps = [] if normalizer is None else normalizer.get("normalizers", [normalizer])
    form = steps[0]["type"] if steps and steps[0]["type"] in FORMS else None
    added = description["added_tokens"]
    if (
        model["type"] != "WordPiece"
        or description["pre_tokenizer"] != {"type": "BertPreTokenizer"}
        or any(step["type"] not in BY_CHARACTER for step in steps[form is not None :])
        or any(token[flag] for token in added for flag in ("normalized", "single_word", "lstrip", "rstrip"))
    ):
        return None
    return {
        "tokens": [tokenizer.id_to_token(number) for number in range(max(tokenizer.get_vocab().values()) + 1)],
        "special_tokens": sorted((token["content"] for token in added), key=len, reverse=True),
        "unicode_form": form,
        "characters": characters(tokenizer),
        "prefix": model["continuing_subword_prefix"],
        "unknown": model["unk_token"],
        "max_word": model["max_input_chars_per_word"],
    }


def characters(tokenizer: Tokenizer) -> dict[str, str]:
    """What the tokenizer makes of each character that it changes: others, none, or itself with spaces around it for a word of its own."""

    def made(text: str) -> str:
        normal = tokenizer.normalizer.normalize_str(text) if tokenizer.normalizer else text
        return " ".join(word for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str(f"a{normal}a"))[1:-1]

    blocks = ["".join(map(chr, codes[start : start + BLOCK])) for codes in ASSIGNED for start in range(0, len(codes), BLOCK)]
    changed = (character for block in blocks if made(block) != block for character in block)
    return {character: result for character in changed if (result := made(character)) != character}
