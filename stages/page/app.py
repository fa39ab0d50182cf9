"""The web page: a query's results by every system side by side, and why.

Everything comes from this machine, to this machine: the page loads nothing from the network, and the server listens on 127.0.0.1 only.
Texts reach the page as JSON and become text nodes, so that HTML in them is shown, never run. Requests are served one after another, in one
thread: they take milliseconds, and neither tokenizers nor every engine may be used by two threads at once.
"""

import time
from collections.abc import Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request as HTTPRequest
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from stages.evaluate.examples import Example
from stages.evaluate.terms import Match, Representation, explain
from stages.page.systems import Found, Request, Systems
from stages.report.highlight import find
from stages.runtime.errors import UserError

LONGEST = 2_000  # characters of a query; a model reads fewer
SHOWN = 1_200  # characters of a result
Query = Annotated[str, Field(max_length=LONGEST)]


class Asked(BaseModel):
    """What the page sends to /search."""

    model_config = ConfigDict(extra="forbid")
    query: Query
    n: Annotated[int, Field(ge=1, le=100)] = 10
    terms: Annotated[int, Field(ge=1)] | None = None
    language: str | None = None


class Pair(BaseModel):
    """What the page sends to /explain."""

    model_config = ConfigDict(extra="forbid")
    query: Query
    document: Annotated[str, Field(max_length=100_000)]


def application(systems: Systems, examples: Sequence[tuple[str, str | None]]) -> Starlette:
    """The server.

    Args:
        examples: queries to begin with, each with its language.
    """

    async def about(_: HTTPRequest) -> Response:
        meta = systems.index.meta
        return JSONResponse(
            {
                "source": meta.source,
                "documents": meta.documents,
                "engine": meta.engine,
                "model": meta.model,
                "systems": systems.names,
                "languages": systems.languages,
                "examples": [{"query": query, "language": language} for query, language in examples],
            }
        )

    async def search(request: HTTPRequest) -> Response:
        asked = Asked.model_validate_json(await request.body())
        if not asked.query.strip():
            return refused("Type a query.")
        start = time.perf_counter()
        query = systems.represent(asked.query)
        milliseconds = 1000 * (time.perf_counter() - start)
        answers = systems.search(Request(asked.query, asked.n, asked.terms, asked.language or None), query)
        return JSONResponse(
            {
                "query": terms_of(query),
                "milliseconds": milliseconds,
                "answers": [
                    {"system": each.system, "milliseconds": each.milliseconds, "found": [result(one) for one in each.found]}
                    for each in answers
                ],
            }
        )

    async def explained(request: HTTPRequest) -> Response:
        pair = Pair.model_validate_json(await request.body())
        if not pair.query.strip() or not pair.document.strip():
            return refused("Give a query and a document.")
        found = explain(systems.model, Example("", pair.query, pair.document), systems.index.meta.treatment)
        score = sum(match.product for match in found.matches)
        shown = Found("", score, found.document.text, None, list(found.matches))
        return JSONResponse({"query": terms_of(found.query), "document": terms_of(found.document), "found": result(shown)})

    async def invalid(_: HTTPRequest, error: Exception) -> Response:
        assert isinstance(error, ValidationError)
        first = error.errors()[0]
        if first["type"] == "string_too_long":
            return refused(f"{first['loc'][0]}: must have at most {first['ctx']['max_length']:,} characters")
        return refused(f"{'.'.join(map(str, first['loc'])) or 'request'}: {first['msg']}")

    async def unavailable(_: HTTPRequest, error: Exception) -> Response:
        """An index that was deleted meanwhile, a server that is away."""
        return refused(str(error), 503)

    return Starlette(
        routes=[
            Route("/about", about),
            Route("/search", search, methods=["POST"]),
            Route("/explain", explained, methods=["POST"]),
            Mount("/", StaticFiles(directory=Path(__file__).parent / "static", html=True)),
        ],
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost"])],  # other sites' names may lead here too
        exception_handlers={ValidationError: invalid, UserError: unavailable},
    )


def refused(message: str, status: int = 400) -> Response:
    return JSONResponse({"error": message}, status_code=status)


def terms_of(representation: Representation) -> list[dict[str, Any]]:
    return [{"name": term.name, "weight": term.weight, "expansion": term.expansion} for term in representation.terms]


def result(found: Found) -> dict[str, Any]:
    """A document with its text in parts, each with the number of the match that it shows, or null."""
    text = found.text[:SHOWN]
    return {
        "id": found.id,
        "score": found.score,
        "language": found.language,
        "parts": parts(text, found.matches),
        "cut": len(found.text) > SHOWN,
        "matches": [
            {
                "name": match.query.name,
                "query": match.query.weight,
                "document": match.document.weight,
                "share": match.share,
                "expandsQuery": match.query.expansion,
                "expandsDocument": match.document.expansion,
            }
            for match in found.matches
        ],
    }


def parts(text: str, matches: Sequence[Match]) -> list[tuple[str, int | None]]:
    """``text`` in parts, each with the number of the match whose term covers it, or None."""
    places: Mapping[str, list[tuple[int, int]]] = find(text, [match.document.name for match in matches])
    covered: list[int | None] = [None] * len(text)
    for number in reversed(range(len(matches))):  # where two terms cover a letter, it is the larger share's
        for start, end in places.get(matches[number].document.name, ()):
            covered[start:end] = [number] * (end - start)
    return [("".join(letter for letter, _ in group), number) for number, group in groupby(zip(text, covered, strict=True), itemgetter(1))]
