"""From a model and documents to an index that `nordic-sparse search` and other programs search."""

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stages.commands.explain import FINAL, load, require_model
from stages.config.params import RESOLVED, read_resolved
from stages.runtime.errors import UserError

if TYPE_CHECKING:
    from sentence_transformers import SparseEncoder

    from stages.retrieval.treatment import Treatment

INDEXES, SETS = Path("indexes"), Path("data/eval")


def main(
    source: Annotated[str, typer.Argument(metavar="SOURCE", show_default=False)],
    engine: Annotated[str, typer.Option(metavar="ENGINE", help="Where the vectors go; see docs/search.md.")] = "qdrant",
    model: Annotated[Path, typer.Option(metavar="FOLDER", help="Model to use.")] = FINAL,
    out: Annotated[Path | None, typer.Option(metavar="FOLDER", help="Folder of the index (default: indexes/<name of the source>).")] = None,
    url: Annotated[str, typer.Option(metavar="URL", help="Address of the engine's server (default: its usual port here).")] = "",
    name: Annotated[str, typer.Option(metavar="NAME", help="Name of the index on the server (default: that of the source).")] = "",
    text: Annotated[list[str] | None, typer.Option(metavar="COLUMN", help="Column with text; repeat it to join several.")] = None,
    identifier: Annotated[str, typer.Option("--id", metavar="COLUMN", help="Column with the id.")] = "",
    language: Annotated[str, typer.Option(metavar="COLUMN", help="Column with the language.")] = "",
    batch_size: Annotated[int, typer.Option(metavar="N", min=1, help="Texts encoded at a time.")] = 32,
    trust_remote_code: Annotated[bool, typer.Option("--trust-remote-code", help="Allow the Python code in FOLDER to run.")] = False,
) -> None:
    """Encode the documents of SOURCE and write them to a search engine.

    SOURCE is an evaluation set of params.yaml, a BEIR folder, or JSON lines, CSV or parquet: a file, or a folder of them. A run that was
    interrupted is resumed by the same command. The index that was there before is replaced at the end.

    \b
    nordic-sparse index sample
    nordic-sparse index products.csv --id sku --text title --text description
    """
    from stages.engines.engine import known_engine
    from stages.engines.sources import Columns, find

    known = known_engine(engine)
    if url and not known.server:
        raise UserError(f"--url: is for engines on a server, and {engine} has none; remove it")
    require_model(model)
    columns = Columns(identifier, tuple(text or ()), language)
    documents = find(source, columns, SETS)

    from stages.engines.build import Model, build
    from stages.engines.identity import model_digest

    def loaded() -> "SparseEncoder":
        from stages.encoders.fast.model import make_fast

        encoder = load(model, trust_remote_code)
        make_fast(encoder)
        return encoder

    called = "-".join(re.findall(r"[a-z0-9_]+", (name or documents.name).lower())) or "documents"  # what every server accepts
    at = (url or known.server, called) if known.server else ("", "")
    folder = out or INDEXES / documents.name.replace("/", "-")
    try:
        made = build(folder, documents, Model(model, model_digest(model), treatment_of(model), loaded, batch_size), engine, *at)
    except KeyboardInterrupt as interrupt:  # of which typer would say nothing
        print("; ".join(["interrupted", *getattr(interrupt, "__notes__", [])]), file=sys.stderr)
        raise typer.Exit(130) from None
    number = "1 document" if made.documents == 1 else f"{made.documents:,} documents"
    print(f'{folder} holds {number} of {made.source} ({made.engine}); try: nordic-sparse search "…" --index {folder}')


def treatment_of(model: Path) -> "Treatment":
    """How a model's documents and vectors are treated: as its folder says; those of models/final pruned as params.yaml says."""
    from stages.config.settings import Pruning
    from stages.retrieval.treatment import Treatment

    if model != FINAL or not (RESOLVED / "evaluate.yaml").is_file():
        return Treatment.read(model)
    return Treatment.pruned(model, Pruning.model_validate(read_resolved("evaluate").get("pruning", {})))
