"""Checks that apply to every key and value of params.yaml, whatever it means."""

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

LONGEST = 4096  # characters of a text, and bytes of a path on most systems
DEEPEST = 12  # levels of nested mappings and lists
WIDEST = 2**63 - 1  # the largest integer that all libraries hold
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
LINE_BREAKS = re.compile(r"[\n\t]")
PROMPTS = "model.prompts."  # the only place where line breaks make sense


def mistakes(values: Any, key: str = "", depth: int = 0, seen: dict[int, Any] | None = None) -> Iterator[str]:
    """Yield a line for every unusable key or value below ``key``.

    Unusable are strings that DVC would replace (`${…}`), that contain control characters or are too long; numbers that are not finite
    or do not fit in 64 bits; other YAML types (dates, binary); keys that are not strings; and mappings and lists nested too deep.
    """
    seen = {} if seen is None else seen
    if isinstance(values, Mapping | list):
        if id(values) in seen:  # a YAML alias, possibly of itself
            return
        seen[id(values)] = values
        if depth > DEEPEST:
            yield f"{key[:80]}: must be nested at most {DEEPEST} levels deep, got {depth}"
            return
        for name, value in values.items() if isinstance(values, Mapping) else enumerate(values):
            below = f"{key}.{name}".lstrip(".") if isinstance(name, str | int) else key
            if isinstance(values, Mapping) and (wrong := _wrong_name(name)):
                yield f"{shorten(f'{key}.{name}'.lstrip('.'), 80)}: {wrong}"
            else:
                yield from mistakes(value, below, depth + 1, seen)
    elif wrong := _wrong(values, key):
        yield f"{key}: {wrong}"


def shorten(text: str, limit: int = 60) -> str:
    """The first ``limit`` characters of a text, safe to print."""
    return CONTROL.sub("�", text if len(text) <= limit else f"{text[:limit]}…")


def in_a_line(error: Exception) -> str:
    """The message of an error, shortened, without line breaks."""
    return shorten(" ".join(str(error).split()), 400)


def _wrong_name(name: Any) -> str | None:
    if not isinstance(name, str):
        return f"the key must be a string, but YAML reads it as {'null' if name is None else type(name).__name__}; put it in quotes"
    wrong = _wrong_text(name, 200)
    return wrong and f"the key {wrong}"


def _wrong(value: Any, key: str) -> str | None:
    if value is None or isinstance(value, bool):
        return None
    if isinstance(value, int | float) and key.endswith(".revision"):
        return "must be a string, but YAML reads it as a number; put the 40 digits in quotes"
    if isinstance(value, int):
        return f"must fit in 64 bits, got a number of {len(str(abs(value)))} digits" if abs(value) > WIDEST else None
    if isinstance(value, float):
        return None if math.isfinite(value) else f"must be a finite number, got {value}"
    if isinstance(value, str):
        text = LINE_BREAKS.sub(" ", value) if key.startswith(PROMPTS) else value
        return _wrong_text(text, LONGEST)
    return f"must be a number, a string, true, false or null, got {type(value).__name__}; put a string in quotes"


def _wrong_text(text: str, longest: int) -> str | None:
    if "${" in text:
        return f"must not contain ${{, which DVC would replace, got {shorten(text)!r}; write the value itself"
    if len(text) > longest:
        return f"must have at most {longest:,} characters, got {len(text):,} ({shorten(text, 20)!r})"
    if found := CONTROL.search(text):
        return f"must not contain control characters, got {found[0]!r}"
    return None
