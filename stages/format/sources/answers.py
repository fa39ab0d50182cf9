"""Reads answers in the forms that data sets use: a text, a list, SQuAD's struct of texts and starts, or a list of those."""

import ast
import json
import math
from typing import Any


def answer_texts(value: Any) -> list[str]:
    """The answers in ``value`` that are not empty, in order.

    >>> answer_texts({"text": ["Oslo", ""], "answer_start": [3, -1]}), answer_texts(["a", {"text": "b"}]), answer_texts(1814)
    (['Oslo'], ['a', 'b'], ['1814'])
    """
    value = parsed(value)
    if isinstance(value, dict):
        return answer_texts(value.get("text"))
    if isinstance(value, list | tuple):
        return [text for each in value for text in answer_texts(each)]
    text = "" if value is None or isinstance(value, bool) or value != value else str(value).strip()  # NaN is not itself
    return [text] if text else []


def is_answered(value: Any, start: Any = None) -> bool:
    """Whether ``value`` holds an answer; if every ``answer_start`` is negative, the answer is not in the passage.

    ``start``: the field ``answer_start``, if it is a field of its own.
    """
    texts, value = answer_texts(value), parsed(value)
    within = [each for each in (value if isinstance(value, list) else [value]) if isinstance(each, dict)]
    starts = [*_numbers(within), *_numbers(parsed(start))]
    return bool(texts) and not (starts and all(start < 0 for start in starts))


def parsed(value: Any) -> Any:
    """Parse a list or struct that was saved as text (JSON or a Python literal, as in a CSV); return anything else unchanged."""
    if isinstance(value, str) and value.strip()[:1] in ("[", "{"):
        for read in (json.loads, ast.literal_eval):
            try:
                return read(value.strip())
            except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
                continue
    return value


def _numbers(value: Any) -> list[float]:
    """All numbers in a value, a struct's ``answer_start`` or a list of those; a number may be written as text."""
    if isinstance(value, dict):
        return _numbers(value.get("answer_start"))
    if isinstance(value, list):
        return [number for each in value for number in _numbers(each)]
    if value is None:  # in most rows, and an exception takes a microsecond
        return []
    try:
        number = float(value)
    except (TypeError, ValueError):
        return []
    return [number] if math.isfinite(number) else []
