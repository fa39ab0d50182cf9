"""More supervision for the rows of a formatted set: hard negatives, and a teacher's scores.

`negatives` finds them by sentence-transformers' mine_hard_negatives, `vectors` lets BM25 and sparse encoders take part in that, `teacher`
scores rows with a cross-encoder, and `assembly` is the whole.
"""

from stages.mining.assembly import mine
from stages.mining.negatives import Rules

__all__ = ["Rules", "mine"]
