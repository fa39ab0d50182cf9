"""The documents that an index finds for a query, and why: the terms that matched."""

import shutil
import textwrap
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from stages.commands.explain import load, require_model
from stages.commands.index import INDEXES, SETS
from stages.runtime.errors import UserError

if TYPE_CHECKING:
    from sentence_transformers import SparseEncoder

    from stages.engines.documents import Entry
    from stages.engines.index import Hit
    from stages.export.encode_wordpiece import QueryEncoder

NARROWEST, WIDEST, LINES = 20, 120, 2


class Match(NamedTuple):
    """A term of the query, with + if it is not in its text, that a document has; and the share of the score."""

    name: str
    share: float


Shared = Callable[["Entry", Collection[int]], list[Match]]
"""The matches of a query with an entry, largest share first, given the query's dimensions that were not pruned."""
Ask = Callable[[str], tuple[dict[int, float], Shared]]
"""A query's weights by dimension, and its matches."""


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
    nordic-sparse search "Hvilke åpningstider har bokhandelen i Verdal?"
    nordic-sparse search "restauranten i Kirkenes" --index indexes/sample --top 3
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
    if serve:
        from stages.page.serve import serve_page

        return serve_page(opened, load(folder, trust_remote_code), dense, port, SETS)
    ask = by_table(opened.encoder) if opened.encoder else by_model(load(folder, trust_remote_code), opened.meta.dimensions)
    start = time.perf_counter()
    weights, shared = ask(query)
    encoded = time.perf_counter()
    vector = opened.query(weights)
    hits = opened.search(vector, top)
    found = time.perf_counter()
    kept = set(vector.indices.tolist())
    width = min(max(shutil.get_terminal_size().columns, NARROWEST), WIDEST)
    for place, hit in enumerate(hits, start=1):
        print(f"\n{shown(place, hit, shared(hit.entry, kept), terms, width)}")
    among = "1 document" if opened.meta.documents == 1 else f"{opened.meta.documents:,} documents"
    print(f"\n{len(hits)} of {among}" if hits else "\nNo document shares a term with the query.", end="")
    print(f" · query encoded in {1000 * (encoded - start):.1f} ms, searched in {1000 * (found - encoded):.1f} ms ({opened.meta.engine})")


def only_index() -> Path:
    """The only index in indexes/."""
    found = sorted(path.parent for path in INDEXES.glob("*/index.json"))
    if len(found) != 1:
        fault = f"has several indexes ({', '.join(map(str, found))}); choose one with --index" if found else "has no index"
        raise UserError(f"{INDEXES}: {fault}" + ("" if found else "; make one with `nordic-sparse index`"))
    return found[0]


def by_model(encoder: "SparseEncoder", size: int) -> Ask:
    """Asks the model; vectors have ``size`` dimensions."""
    from stages.evaluate.terms import described, matches, represent

    def ask(query: str) -> tuple[dict[int, float], Shared]:
        asked = represent(encoder, query, "query")

        def shared(entry: "Entry", kept: Collection[int]) -> list[Match]:
            document = described(encoder, entry.text, "document", size, entry.dimensions.tolist(), entry.weights.tolist())
            found = matches(replace(asked, terms=tuple(term for term in asked.terms if term.dimension in kept)), document)
            return [Match(match.query.name + "+" * match.query.expansion, match.share) for match in found]

        return {term.dimension: term.weight for term in asked.terms}, shared

    return ask


def by_table(encoder: "QueryEncoder") -> Ask:
    """Asks the table of an inference-free model, whose queries have no expansions. Loading torch would take most of the time."""

    def ask(query: str) -> tuple[dict[int, float], Shared]:
        asked = dict(zip(*(each.tolist() for each in encoder(query)), strict=True))

        def shared(entry: "Entry", kept: Collection[int]) -> list[Match]:
            document = zip(entry.dimensions.tolist(), entry.weights.tolist(), strict=True)
            products = {dimension: asked[dimension] * weight for dimension, weight in document if dimension in kept}
            score = sum(products.values())
            order = sorted(products, key=lambda dimension: (-products[dimension], dimension))
            return [Match(name(dimension), products[dimension] / score if score else 0.0) for dimension in order]

        return asked, shared

    def name(dimension: int) -> str:
        """As `stages.evaluate.terms.term_names` has it: a piece that continues a word gets a hyphen."""
        token, prefix = str(encoder.settings["tokens"][dimension]), encoder.settings["prefix"]
        piece = token.removeprefix(prefix)
        return f"-{piece}" if piece != token and piece[:1].isalnum() else piece or token

    return ask


def shown(place: int, hit: "Hit", found: Sequence[Match], terms: int, width: int) -> str:
    """A result: its place, score and id, the beginning of its text, and its matched terms."""
    text = textwrap.shorten(hit.entry.text, LINES * (width - 4), placeholder=" …")
    lines = [f"{place:>2}  {hit.score:.3f}  {hit.entry.id}", *textwrap.wrap(text, width, initial_indent=" " * 4, subsequent_indent=" " * 4)]
    names = [f"{match.name} {match.share:.0%}" for match in found[:terms]]
    if rest := found[terms:]:
        names.append(f"{len(rest)} more {sum(match.share for match in rest):.0%}")
    matched = textwrap.wrap(" · ".join(names), width, initial_indent="    → ", subsequent_indent=" " * 6, break_long_words=False)
    return "\n".join(lines + (matched if terms else []))
