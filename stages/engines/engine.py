"""The interface of a search engine: it takes the vectors of documents once, and then finds the rows nearest to a query's.

An engine only knows rows: `stages.engines.index` knows what they are. To add one, write a module with a class like `Engine`, add its line
to `ENGINES`, and its package to an extra of the same name in pyproject.toml.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Protocol

import numpy as np
from scipy.sparse import csr_array

from stages.engines.documents import Part, Texts
from stages.runtime.errors import UserError


@dataclass(frozen=True)
class Place:
    """Where an engine keeps one index.

    Attributes:
        folder: of the engine's own; a server's client notes there how much it has sent.
        parts: reads the encoded documents, in order.
        dimensions: size of a vector.
        terms: reads the name of each dimension, in order. texts: reads what BM25 wants to know.
        collection: name of the index on a server; address: the server's.
        alias: name under which `publish` makes the collection known.
    """

    folder: Path
    parts: Callable[[], Iterable[Part]]
    dimensions: int
    terms: Callable[[], Sequence[str]] = tuple
    texts: Callable[[], Texts] = lambda: Texts(frozenset(), 0.0)
    collection: str = ""
    address: str = ""
    alias: str = ""


class Engine(Protocol):
    """An engine at one `Place`.

    ``write`` stores all parts, ``sent`` is told the number of rows so far; one that was interrupted is called again. ``publish`` makes a
    written index the one that others see, ``remove`` deletes it. ``search`` returns the rows with the highest scores, best first, and the
    scores, shapes (found,): at most ``n``, none that shares no dimension with the query, of shape (1, dimensions).
    """

    def __init__(self, place: Place) -> None: ...
    def write(self, sent: Callable[[int], None]) -> None: ...
    def publish(self) -> None: ...
    def remove(self) -> None: ...
    def search(self, query: csr_array, n: int) -> tuple[np.ndarray, np.ndarray]: ...


@dataclass(frozen=True)
class Known:
    """An engine by its module and class, the package that it needs, and, if that is the client of a server, its usual address."""

    target: str
    package: str
    server: str = ""

    @property
    def version(self) -> str:
        """Of the package."""
        return version(self.package)


ENGINES = {
    "qdrant": Known("qdrant:Qdrant", "qdrant-edge-py"),
    "qdrant-server": Known("qdrant_server:QdrantServer", "qdrant-client", "http://localhost:6333"),
    "opensearch": Known("opensearch:OpenSearchEngine", "opensearch-py", "http://localhost:9200"),
    "elasticsearch": Known("elastic:ElasticEngine", "elasticsearch", "http://localhost:9200"),
    "seismic": Known("seismic:Seismic", "pyseismic-lsr"),
    "parquet": Known("exact:Exact", "pyarrow"),
}
"""Every engine by its name in `nordic-sparse index --engine`."""


def known_engine(name: str) -> Known:
    """The engine of this name; `UserError` if there is none."""
    if name not in ENGINES:
        raise UserError(f"--engine: must be one of {', '.join(ENGINES)}, got {name}")
    return ENGINES[name]


def engine_class(name: str) -> type[Engine]:
    """The class of an engine.

    Raises:
        UserError: there is no such engine, or its package is not installed.
    """
    known = known_engine(name)
    module, _, attribute = known.target.partition(":")
    try:
        found: type[Engine] = getattr(import_module(f"{__package__}.{module}"), attribute)
    except ModuleNotFoundError as error:
        remedy = f"install it with `pip install 'nordic-sparse[{name}]'`, or choose --engine parquet, which needs nothing more"
        raise UserError(f"--engine: {name} needs the package {known.package} ({error}); {remedy}") from error
    return found
