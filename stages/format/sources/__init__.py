"""Training sets by kind: where a set's rows lie in its raw folder, and how they read as anchor, positive and negative.

A kind is a function ``(folder, split, options) -> Iterator[Chunk]``. To add one, write it, name it in `KINDS` and test it.
Nothing heavy is imported here: a set that is not chosen costs no time.
"""

from pkgutil import resolve_name
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stages.format.sources.chunk import Read

KINDS = {
    "triplets": "plain:triplets",
    "eti": "plain:triplets",  # anchor, positive, negative and columns that are no texts to train on
    "squad": "plain:squad",
    "openbookqa": "plain:openbookqa",
    "pairs": "plain:pairs",
    "ddsc": "plain:ddsc",
    "supervised_da": "supervised_da:read",
    "paws_x": "paws_x:read",
    "esci": "esci:read",
    "beir": "beir:read",
}


def reader(kind: str) -> "Read":
    """The reader of a kind; its module is imported now."""
    read: Read = resolve_name(f"stages.format.sources.{KINDS[kind]}")
    return read
