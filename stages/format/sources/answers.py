"""Answers to a question in the forms that people write them: a text, a list, SQuAD's struct of texts and starts, or a list of those."""

import ast
import json
import math
from collections.abc import Iterable
from typing import Any


def answer_texts(value: Any) -> list[str]:
    """The answers in ``value`` that say something, in their order.

    >>> answer_texts({"text": ["Oslo", ""], "answer_start": [3, -1]}), answer_texts(["a", {"text": "b"}]), answer_texts(1814)
    (['Oslo'], ['a', 'b'], ['1814'])
    """
    value = _unwritten(value)
    if isinstance(value, dict):
        return answer_texts(value.get("text"))
    if isinstance(value, list | tuple):
        return [text for each in value for text in answer_texts(each)]
    text = "" if value is None or isinstance(value, bool) or value != value else str(value).strip()  # NaN is not itself
    return [text] if text else []


def is_answered(value: Any, start: Any = None) -> bool:
    """Whether ``value`` holds an answer; one whose every ``answer_start`` is negative stands nowhere in the passage.

    ``start``: the field ``answer_start`` beside the answer, if it is not in it.
    """
    starts = [*_starts(_unwritten(value)), *_numbers(start)]
    return bool(answer_texts(value)) and not (starts and all(start < 0 for start in starts))


def _unwritten(value: Any) -> Any:
    """A list or struct that a CSV made a text of, as JSON or as Python writes it; anything else as it is."""
    if isinstance(value, str) and value.strip()[:1] in ("[", "{"):
        for read in (json.loads, ast.literal_eval):
            try:
                return read(value.strip())
            except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
                continue
    return value


def _starts(value: Any) -> Iterable[float]:
    if isinstance(value, dict):
        yield from _numbers(value.get("answer_start"))
    elif isinstance(value, list):
        for each in value:
            yield from _starts(each)


def _numbers(value: Any) -> Iterable[float]:
    """Every number in a value or list of values, whether it is written as a number or as a text."""
    for each in value if isinstance(value, list) else [value]:
        try:
            number = math.nan if each is None or isinstance(each, bool) else float(each)
        except (TypeError, ValueError):
            continue
        if math.isfinite(number):
            yield number
