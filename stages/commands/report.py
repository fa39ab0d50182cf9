"""The end of `make repro`: the scores as a table, a page of all there is to see (report.html), and what to do next."""

import json
import os
import subprocess
import sys
import webbrowser
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from stages.config.params import RESOLVED, read_resolved
from stages.runtime.errors import UserError
from stages.runtime.files import atomic_write, read_output

METRICS, DATA, MIX = Path("metrics/evaluation.json"), Path("metrics/data.json"), Path("metrics/mix.json")
SUMMARY, CURVES, SLICES, QUERIES = (Path("metrics") / name for name in ("summary.json", "curves.json", "slices.json", "queries"))
TRAINING, FORMATTED, SETS = Path("models/training.csv"), Path("data/formatted"), Path("data/eval")
PAGE = Path("report.html")
NEXT = """\
The model is in models/final: SparseEncoder("models/final") loads it. Next:

  source .venv/bin/activate
  nordic-sparse report --open                          # report.html: queries gained and lost, curves, slices
  nordic-sparse explain "Hva er hovedstaden i Norge?"  # the terms that the model gives a query
{search}  dvc exp run -S {change:<37} # change one value
  dvc metrics diff                                     # what it did to the scores
  dvc plots show --open                                # training curve, scores next to BM25, terms
"""
SEARCH = """\
  nordic-sparse index {name:<32} # load its documents into a search engine
  nordic-sparse search --serve                         # search them on a page, beside BM25
"""
CHANGES = {
    "splade": "loss.query_regularizer_weight=1e-4",
    "inference-free-splade": "loss.document_regularizer_weight=1e-4",
    "csr": "model.k=64",
}
"""By architecture, a setting that it has, with a value that no preset has."""


def main(
    open_page: Annotated[bool | None, typer.Option("--open/--no-open", help="Open the page in a browser (default: on a terminal).")] = None,
) -> None:
    """Print the scores of the last run, how many rows it used, and what to do next; write report.html and open it.

    The page adds the queries gained and lost, curves, slices, data, settings and versions. It is one file that needs no network.
    """
    from stages.evaluate.summary import account, table

    for path in (METRICS, DATA, MIX):
        if not path.exists():
            raise UserError(f"{path}: is missing; run `dvc repro`")
    with ThreadPoolExecutor() as threads:
        changed = threads.submit(pending)  # takes a second, in which the page's libraries load
        from stages.report.page import Files, render
        from stages.tracking.git import git_state

        stages = changed.result()
    settings = read_resolved("train")
    print(f"\n{settings['architecture']}, profile {settings['profile']}\n")
    evaluation, formatted, mixed = (read_output(path) for path in (METRICS, DATA, MIX))
    print(f"{account(formatted, mixed)}\n\n{table(evaluation)}\n")
    if stages:
        print(f"These scores are from an earlier run: {', '.join(stages)} changed since, or failed. `dvc repro` runs what is left.\n")
    search = "".join(SEARCH.format(name=name) for name in [*read_resolved("evaluate").get("sets", {})][:1])
    print(NEXT.format(change=CHANGES[settings["architecture"]], search=search))
    files = Files(
        evaluation=METRICS, summary=SUMMARY, curves=CURVES, slices=SLICES, queries=QUERIES, data=DATA, mix=MIX,
        training=TRAINING, formatted=FORMATTED, evaluation_sets=SETS, resolved=RESOLVED,
    )  # fmt: skip
    page = render(files, settings=settings, git=git_state(), now=datetime.now().astimezone(), pending=stages)
    try:
        with atomic_write(PAGE) as temporary:
            temporary.write_text(page, encoding="utf-8")
    except OSError as error:
        raise UserError(f"{PAGE}: cannot be written ({error.strerror or error}); make room for it, or the folder writable") from error
    if on_a_screen() if open_page is None else open_page:
        webbrowser.open(PAGE.resolve().as_uri())


def on_a_screen() -> bool:
    """Whether a person runs this on a terminal of a computer with a screen."""
    return sys.stdout.isatty() and (sys.platform in ("darwin", "win32") or any(map(os.environ.get, ("DISPLAY", "WAYLAND_DISPLAY"))))


def pending() -> list[str]:
    """Names of the stages up to evaluate that dvc would run; `resolve`, which always runs, only if its inputs changed."""
    command = [sys.executable, "-m", "dvc", "status", "--json", "--with-deps", "evaluate"]
    done = subprocess.run(command, capture_output=True, text=True)
    changed = json.loads(done.stdout) if done.returncode == 0 else {}
    return [name for name, changes in changed.items() if changes != ["always changed"]]
