"""`nordic-sparse <command>`: the commands for people, next to `dvc`.

A command is a module of this folder with a function ``main`` and one line in `COMMANDS`. Only the command that is run gets imported,
so that `nordic-sparse --help` stays fast.
"""

import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

import typer

from stages.runtime.errors import UserError, run_stage

COMMANDS = {
    "compare": "Test the difference between two runs over their queries.",
    "explain": "Show the terms and weights of a query or document.",
    "export": "Write what encodes queries without torch.",
    "index": "Encode documents and write them to a search engine.",
    "modal": "Bring finished experiments from Modal into this checkout.",
    "pin": "Write the newest revisions into params.yaml.",
    "preflight": "Check the files that DVC reads before any stage.",
    "report": "Print the scores of the last run.",
    "search": "Search an index from the terminal.",
    "submit": "Prepare the MTEB results for submission.",
    "sweep": "Run many configurations, each as an experiment.",
}
"""Every command by name, with its line in `nordic-sparse --help`."""
MODULES = {"modal": "modal_fetch"}
"""The module of a command, if it has another name: modal.py would shadow the package for `modal run stages/commands/modal_app.py`."""


def run(arguments: Sequence[str]) -> None:
    """Run a command as the shell would.

    Raises:
        UserError: as the command does.
        SystemExit: always otherwise; with status 2 for arguments that the command does not take.
    """
    app = typer.Typer(add_completion=False, no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False)
    about = "Inspect the trained model and its scores, search with it, and pin data sets and models. Run it in the checkout."
    app.callback(help=about)(require_checkout)
    chosen = next((argument for argument in arguments if not argument.startswith("-")), None)
    for name, does in COMMANDS.items():
        command = import_module(f"stages.commands.{MODULES.get(name, name)}").main if name == chosen else lambda: None
        app.command(name, short_help=does)(command)
    app(arguments, prog_name="nordic-sparse")


def require_checkout() -> None:
    """Raise `UserError` in a subfolder of a checkout, where every file would seem to be missing."""
    here = Path.cwd()
    above = next((folder for folder in here.parents if (folder / "dvc.yaml").is_file()), None)
    if above and not (here / "dvc.yaml").is_file():
        raise UserError(f"{here}: is a subfolder of the checkout; run the command in {above}")


def main() -> None:
    run_stage(lambda: run(sys.argv[1:]))


if __name__ == "__main__":
    main()
