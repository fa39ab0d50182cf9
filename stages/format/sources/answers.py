"""Answers to a question in the forms that people write them: a text, a list, SQuAD's struct of texts and starts, or a list of those."""

import ast
import json
import math
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
    texts, value = answer_texts(value), _unwritten(value)
    within = [each for each in (value if isinstance(value, list) else [value]) if isinstance(each, dict)]
    starts = [*_numbers(within), *_numbers(_unwritten(start))]
    return bool(texts) and not (starts and all(start < 0 for start in starts))


def _unwritten(value: Any) -> Any:
    """A list or struct that a CSV made a text of, as JSON or as Python writes it; anything else as it is."""
    if isinstance(value, str) and value.strip()[:1] in ("[", "{"):
        for read in (json.loads, ast.literal_eval):
            try:
                return read(value.strip())
            except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
                continue
    return value


def _numbers(value: Any) -> list[float]:
    """Every number in a value, a struct's ``answer_start`` or a list of those, whether it is written as a number or as a text."""
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
