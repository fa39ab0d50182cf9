"""Training sets by kind: where a set's rows lie in its raw folder, and how they read as anchor, positive and negative.

A kind is one module with ``read(folder, split, options) -> Iterator[Chunk]``. To add one, write the module, name it in `KINDS` and test it.
Nothing heavy is imported here: a set that is not chosen costs no time.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stages.format.sources.chunk import Read

KINDS = {
    "triplets": "stages.format.sources.triplets",
    "eti": "stages.format.sources.triplets",  # anchor, positive, negative and columns that are no texts to train on
    "squad": "stages.format.sources.squad",
    "openbookqa": "stages.format.sources.openbookqa",
    "pairs": "stages.format.sources.pairs",
    "supervised_da": "stages.format.sources.supervised_da",
    "paws_x": "stages.format.sources.paws_x",
    "ddsc": "stages.format.sources.ddsc",
    "esci": "stages.format.sources.esci",
    "beir": "stages.format.sources.beir",
}


def reader(kind: str) -> "Read":
    """The ``read`` function of a kind; its module is imported now."""
    read: Read = import_module(KINDS[kind]).read
    return read
