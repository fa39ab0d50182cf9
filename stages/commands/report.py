"""What `make repro` ends with: the scores as a table, and what to do next."""

import json
import subprocess
import sys
from pathlib import Path

from stages.config.params import read_resolved
from stages.runtime.errors import UserError

METRICS, DATA, MIX = Path("metrics/evaluation.json"), Path("metrics/data.json"), Path("metrics/mix.json")
NEXT = """\
The model is in models/final: SparseEncoder("models/final") loads it. Next:

  source .venv/bin/activate
  dvc exp run -S loss.query_regularizer_weight=1e-4    # change one value
  dvc metrics diff                                     # what it did to the scores
  dvc plots show --open                                # training curve, scores beside BM25
"""


def main() -> None:
    """Print the scores of the last run, how many rows it used, and what to do next."""
    from stages.evaluate.summary import account, table

    if not METRICS.exists():
        raise UserError(f"{METRICS}: is missing; run `dvc repro`")
    settings = read_resolved("train")
    print(f"\n{settings['architecture']}, profile {settings['profile']}\n")
    evaluation, formatted, mixed = (json.loads(path.read_text(encoding="utf-8")) for path in (METRICS, DATA, MIX))
    print(f"{account(formatted, mixed)}\n\n{table(evaluation)}\n")
    if stages := pending():
        print(f"These scores are those of an earlier run: {', '.join(stages)} changed since, or failed. `dvc repro` runs what is left.\n")
    print(NEXT)


def pending() -> list[str]:
    """The stages up to the scores that dvc would run again, by name; `resolve`, which always runs, only if its inputs changed."""
    command = [sys.executable, "-m", "dvc", "status", "--json", "--with-deps", "evaluate"]
    done = subprocess.run(command, capture_output=True, text=True)
    changed = json.loads(done.stdout) if done.returncode == 0 else {}
    return [name for name, changes in changed.items() if changes != ["always changed"]]
