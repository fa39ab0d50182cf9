"""The end of `make repro`: the scores as a table, and what to do next."""

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
  nordic-sparse explain "Hva er hovedstaden i Norge?"  # the terms that the model gives a query
  dvc exp run -S {change:<37} # change one value
  dvc metrics diff                                     # what it did to the scores
  dvc plots show --open                                # training curve, scores next to BM25, terms
"""
CHANGES = {
    "splade": "loss.query_regularizer_weight=1e-4",
    "inference-free-splade": "loss.document_regularizer_weight=1e-4",
    "csr": "model.k=64",
}
"""By architecture, a setting that it has, with a value that no preset has."""


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
        print(f"These scores are from an earlier run: {', '.join(stages)} changed since, or failed. `dvc repro` runs what is left.\n")
    print(NEXT.format(change=CHANGES[settings["architecture"]]))


def pending() -> list[str]:
    """Names of the stages up to evaluate that dvc would run; `resolve`, which always runs, only if its inputs changed."""
    command = [sys.executable, "-m", "dvc", "status", "--json", "--with-deps", "evaluate"]
    done = subprocess.run(command, capture_output=True, text=True)
    changed = json.loads(done.stdout) if done.returncode == 0 else {}
    return [name for name, changes in changed.items() if changes != ["always changed"]]
