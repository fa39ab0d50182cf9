"""Readers of training sets: where the rows are in a set's raw folder, and how they become anchor, positive and negative.

A reader is a function ``(folder, split, options) -> Iterator[Chunk]``: ``read`` of the module that has the kind's name, or the function of
that name in `plain`. To add a kind, write its reader and name it in `stages.config.kinds`.
"""

from importlib.util import find_spec
from pkgutil import resolve_name
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stages.format.sources.chunk import Read


def reader(kind: str) -> "Read":
    """The reader of a kind."""
    own = find_spec(f"{__name__}.{kind}")
    read: Read = resolve_name(f"{__name__}.{kind}:read" if own else f"{__name__}.plain:{kind}")
    return read
