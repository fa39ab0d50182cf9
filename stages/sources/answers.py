"""Answers to a question in the forms that people write them: a text, a list, SQuAD's struct of texts and starts, or a list of those."""

from collections.abc import Iterable
from typing import Any


def answer_texts(value: Any) -> list[str]:
    """The answers in ``value`` that say something, in their order.

    >>> answer_texts({"text": ["Oslo", ""], "answer_start": [3, -1]}), answer_texts(["a", {"text": "b"}]), answer_texts(1814)
    (['Oslo'], ['a', 'b'], ['1814'])
    """
    if isinstance(value, dict):
        return answer_texts(value.get("text"))
    if isinstance(value, list | tuple):
        return [text for each in value for text in answer_texts(each)]
    text = "" if value is None or isinstance(value, bool) else str(value).strip()
    return [text] if text else []


def is_answered(value: Any) -> bool:
    """Whether ``value`` holds an answer; one whose every ``answer_start`` is negative stands nowhere in the passage."""
    starts = list(_starts(value))
    return bool(answer_texts(value)) and not (starts and all(start < 0 for start in starts))


def _starts(value: Any) -> Iterable[int]:
    if isinstance(value, dict):
        start = value.get("answer_start")
        yield from (each for each in (start if isinstance(start, list) else [start]) if isinstance(each, int))
    elif isinstance(value, list):
        for each in value:
            yield from _starts(each)
