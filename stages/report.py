"""What `make repro` ends with: the scores as a table, and what to do next."""

import json
from pathlib import Path

from stages.errors import UserError, run_stage
from stages.params import read_resolved

METRICS = Path("metrics/evaluation.json")
NEXT = """\
The model is in models/final: SparseEncoder("models/final") loads it. Next:

  source .venv/bin/activate
  dvc exp run -S loss.query_regularizer_weight=1e-4    # change one value
  dvc metrics diff                                     # what it did to the scores
  dvc plots show --open                                # training curve, scores beside BM25
"""


def main() -> None:
    from stages.evaluation.summary import table

    if not METRICS.exists():
        raise UserError(f"{METRICS}: is missing; run `dvc repro`")
    settings = read_resolved("train")
    print(f"\n{settings['architecture']}, profile {settings['profile']}\n")
    print(table(json.loads(METRICS.read_text(encoding="utf-8"))))
    print(f"\n{NEXT}")


if __name__ == "__main__":
    run_stage(main)
