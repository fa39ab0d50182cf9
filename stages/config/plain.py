"""What no key and no value of params.yaml may be, whatever it is for: the part of its check that needs no schema."""

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

LONGEST = 4096  # characters of a text, and bytes of a path on most systems
DEEPEST = 12  # mappings and lists within each other
WIDEST = 2**63 - 1  # of a number: what libraries can hold
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
LINE_BREAKS = re.compile(r"[\n\t]")
PROMPTS = "model.prompts."  # the one place where a line break has a meaning


def mistakes(values: Any, key: str = "", depth: int = 0, seen: dict[int, Any] | None = None) -> Iterator[str]:
    """Yield "key: what is wrong; what to do" for every key and value below ``key`` that nothing could use.

    These are texts that DVC would replace (`${…}`), that hold control characters or are too long, numbers that are not finite or not
    of 64 bits, other YAML types (dates, binary), keys that are not text, and lists and mappings within each other without an end.
    """
    seen = {} if seen is None else seen
    if isinstance(values, Mapping | list):
        if id(values) in seen:  # an alias: read once
            return
        seen[id(values)] = values
        if depth > DEEPEST:
            yield f"{key[:80]}: holds mappings or lists {depth} deep; give a plain value"
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
    """The beginning of a text that may be too long to be shown, as it can be printed."""
    return CONTROL.sub("�", text if len(text) <= limit else f"{text[:limit]}…")


def in_a_line(error: Exception) -> str:
    """What an error says, of whatever length, as a part of one line."""
    return shorten(" ".join(str(error).split()), 400)


def _wrong_name(name: Any) -> str | None:
    if not isinstance(name, str):
        return f"cannot be a name, as YAML reads it as {'null' if name is None else type(name).__name__}; put it in quotes"
    wrong = _wrong_text(name, 200)
    return wrong and f"the key {wrong}"


def _wrong(value: Any, key: str) -> str | None:
    if value is None or isinstance(value, bool):
        return None
    if isinstance(value, int | float) and key.endswith(".revision"):
        return "is read as a number; put the 40 digits in quotes"
    if isinstance(value, int):
        return f"is a number of {len(str(abs(value)))} digits; give a smaller one" if abs(value) > WIDEST else None
    if isinstance(value, float):
        return None if math.isfinite(value) else f"is {value}; give a finite number"
    if isinstance(value, str):
        text = LINE_BREAKS.sub(" ", value) if key.startswith(PROMPTS) else value
        return _wrong_text(text, LONGEST)
    return f"is a {type(value).__name__}; give a number, a text in quotes, true, false or null"


def _wrong_text(text: str, longest: int) -> str | None:
    if "${" in text:
        return f"holds ${{, in {shorten(text)!r}, which DVC would replace by another value; write the value itself"
    if len(text) > longest:
        return f"is {len(text):,} characters long ({shorten(text, 20)!r}); give at most {longest:,}"
    if found := CONTROL.search(text):
        return f"holds the control character {found[0]!r}; remove it"
    return None
