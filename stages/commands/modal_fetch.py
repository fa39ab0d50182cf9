"""`nordic-sparse modal fetch`: bring finished experiments from Modal into this checkout."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer

from stages.runtime.errors import UserError


def main(
    action: Annotated[Literal["fetch"], typer.Argument(help="What to do.")],
    names: Annotated[list[str] | None, typer.Argument(metavar="NAME", help="Experiments; without one, all that have finished.")] = None,
) -> None:
    """Bring experiments that have finished on Modal into this checkout, with their files in DVC's cache.

    Then `dvc exp show` lists them, and `dvc exp apply NAME` takes one.

    \b
    nordic-sparse modal fetch regularizers-007
    """
    bring(names or ())


def bring(names: Sequence[str]) -> None:
    """Bring these experiments here, or all that have finished if there are no names."""
    from stages.launchers.modal_cloud import fetch, modal_errors

    done = subprocess.run([sys.executable, "-m", "dvc", "cache", "dir"], capture_output=True, text=True)
    if done.returncode:
        raise UserError(f"dvc: cannot say where its cache is ({done.stderr.strip()}); run the command in the checkout")
    with modal_errors():
        for name, files in fetch(Path(), Path(done.stdout.strip()), names):
            print(f"{name}: {'of another checkout' if files is None else f'{files} files fetched'}", flush=True)
