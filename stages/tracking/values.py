"""Names and values in the form that MLflow accepts."""

import re
from collections.abc import Mapping
from typing import Any


def safe_name(name: str) -> str:
    """A name for a metric or parameter: `@` becomes `_at_`, anything else that MLflow may refuse becomes `_`.

    >>> safe_name("ndcg@10")
    'ndcg_at_10'
    """
    return re.sub(r"[^\w\-. :]", "_", name.replace("@", "_at_"), flags=re.ASCII)[:250]


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one, with dotted, safe names; an empty mapping leaves no trace.

    >>> flatten({"loss": {"weight": 0.1}, "mean": {"ndcg@10": 0.7}})
    {'loss.weight': 0.1, 'mean.ndcg_at_10': 0.7}
    """
    flat: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{prefix}.{key}" if prefix else str(key)
        if isinstance(value, Mapping):
            flat |= flatten(value, name)
        else:
            flat[safe_name(name)] = value
    return flat


def numbers(values: Mapping[str, Any]) -> dict[str, float]:
    """The numeric entries of nested ``values`` (NumPy's and one-element tensors too), flattened; no others."""
    found = {}
    for name, value in flatten(values).items():
        if hasattr(value, "item"):
            try:
                value = value.item()
            except (ValueError, RuntimeError):  # more than one element
                continue
        if isinstance(value, int | float) and not isinstance(value, bool):
            found[name] = float(value)
    return found
