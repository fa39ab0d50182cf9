"""The documents that an index finds for a query, and why: the terms that matched."""

import shutil
import textwrap
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stages.commands.explain import load, require_model
from stages.commands.index import INDEXES, SETS
from stages.runtime.errors import UserError

if TYPE_CHECKING:
    from stages.engines.index import Hit
    from stages.evaluate.terms import Match

NARROWEST, WIDEST, LINES = 20, 120, 2


def main(
    query: Annotated[str, typer.Argument(metavar="QUERY", show_default=False)] = "",
    index: Annotated[Path | None, typer.Option(metavar="FOLDER", help="Index to search (default: the only one in indexes/).")] = None,
    model: Annotated[Path | None, typer.Option(metavar="FOLDER", help="The index's model, if it was moved.")] = None,
    trust_remote_code: Annotated[bool, typer.Option("--trust-remote-code", help="Allow the Python code in FOLDER to run.")] = False,
    top: Annotated[int, typer.Option(metavar="N", min=1, help="Number of documents to show.")] = 10,
    terms: Annotated[int, typer.Option(metavar="N", min=0, help="Number of matched terms to show.")] = 6,
    serve: Annotated[bool, typer.Option("--serve", help="Open a page to search in, next to BM25, instead.")] = False,
    dense: Annotated[Path | None, typer.Option(metavar="FOLDER", help="Dense model for the page to compare with.")] = None,
    port: Annotated[int, typer.Option(metavar="N", min=1, max=65535, help="Port of the page on 127.0.0.1.")] = 8000,
) -> None:
    """Show the documents that an index finds for QUERY, with the terms that matched and their share of the score.

    \b
    nordic-sparse search "Hva er hovedstaden i Norge?"
    nordic-sparse search "hvornår åbner museet" --index indexes/sample --top 3
    nordic-sparse search --serve
    """
    if not query.strip() and not serve:
        raise UserError("search: the query must not be empty; give a text in quotes, or --serve for a page")
    if any("\ud800" <= letter <= "\udfff" for letter in query):  # what Python makes of bytes that are not UTF-8
        raise UserError("search: the query must be UTF-8; set the terminal to UTF-8")

    from stages.engines.identity import model_digest
    from stages.engines.index import open_index

    opened = open_index(index or only_index())
    folder = model or Path(opened.meta.model)
    require_model(folder)
    opened.require_model(model_digest(folder), str(folder))
    encoder = load(folder, trust_remote_code)
    if serve:
        from stages.page.serve import serve_page

        return serve_page(opened, encoder, dense, port, SETS)

    from stages.evaluate.terms import described, matches, represent

    start = time.perf_counter()
    asked = represent(encoder, query, "query")
    encoded = time.perf_counter()
    vector = opened.query({term.dimension: term.weight for term in asked.terms})
    hits = opened.search(vector, top)
    found = time.perf_counter()
    kept = replace(asked, terms=tuple(term for term in asked.terms if term.dimension in vector.indices))
    width = min(max(shutil.get_terminal_size().columns, NARROWEST), WIDEST)
    for place, hit in enumerate(hits, start=1):
        entry = hit.entry
        document = described(encoder, entry.text, "document", opened.meta.dimensions, entry.dimensions.tolist(), entry.weights.tolist())
        print(f"\n{shown(place, hit, matches(kept, document), terms, width)}")
    print(
        f"\n{len(hits)} of {opened.meta.documents:,} document{'s' * (opened.meta.documents != 1)}"
        if hits
        else "\nNo document shares a term with the query.",
        end="",
    )
    print(f" · query encoded in {1000 * (encoded - start):.1f} ms, searched in {1000 * (found - encoded):.1f} ms ({opened.meta.engine})")


def only_index() -> Path:
    """The only index in indexes/."""
    found = sorted(path.parent for path in INDEXES.glob("*/index.json"))
    if len(found) != 1:
        fault = f"has several indexes ({', '.join(map(str, found))}); choose one with --index" if found else "has no index"
        raise UserError(f"{INDEXES}: {fault}" + ("" if found else "; make one with `nordic-sparse index`"))
    return found[0]


def shown(place: int, hit: "Hit", found: Sequence["Match"], terms: int, width: int) -> str:
    """A result: its place, score and id, the beginning of its text, and its matched terms."""
    text = textwrap.shorten(hit.entry.text, LINES * (width - 4), placeholder=" …")
    lines = [f"{place:>2}  {hit.score:.3f}  {hit.entry.id}", *textwrap.wrap(text, width, initial_indent=" " * 4, subsequent_indent=" " * 4)]
    names = [f"{match.query.name}{'+' * match.query.expansion} {match.share:.0%}" for match in found[:terms]]
    if rest := found[terms:]:
        names.append(f"{len(rest)} more {sum(match.share for match in rest):.0%}")
    matched = textwrap.wrap(" · ".join(names), width, initial_indent="    → ", subsequent_indent=" " * 6, break_long_words=False)
    return "\n".join(lines + (matched if terms else []))
