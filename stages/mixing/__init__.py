"""Formatted sets become batches in training order; every decision of sampling is made here and can be read in the output.

`selection` says which rows may be used, `shuffle` brings them into a random order without holding them, `batches` forms batches of one
source, `order` says whose turn it is, and `assembly` is the whole.
"""

from stages.mixing.assembly import Source, mix
from stages.mixing.selection import EvaluationTexts

__all__ = ["EvaluationTexts", "Source", "mix"]
