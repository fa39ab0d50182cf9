"""Training sets by kind: where a set's rows lie in its raw folder, and how they read as anchor, positive and negative.

A kind is one module with ``read(folder, split, options) -> Iterator[Chunk]``. To add one, write the module, name it in `KINDS` and test it.
Nothing heavy is imported here: a set that is not chosen costs no time.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stages.sources.chunk import Read

KINDS = {
    "triplets": "stages.sources.triplets",
    "eti": "stages.sources.triplets",  # anchor, positive, negative and columns that are no texts to train on
    "squad": "stages.sources.squad",
    "openbookqa": "stages.sources.openbookqa",
    "pairs": "stages.sources.pairs",
    "supervised_da": "stages.sources.supervised_da",
    "paws_x": "stages.sources.paws_x",
    "ddsc": "stages.sources.ddsc",
    "esci": "stages.sources.esci",
    "beir": "stages.sources.beir",
}


def reader(kind: str) -> "Read":
    """The ``read`` function of a kind; its module is imported now."""
    read: Read = import_module(KINDS[kind]).read
    return read
