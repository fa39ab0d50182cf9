"""An index in a folder: encoded documents, the engine that holds them, and what made them.

    index.json                 what `Meta` says; replaced as a whole, so that an index is the old one or the new one
    <build>/documents/         the encoded documents, see `stages.engines.documents`
    <build>/query-encoder/     of an inference-free model: what encodes its queries without torch, see `stages.export.query_encoder`
    <build>/<engine>-<version> the engine's own files

Usage:

    index = open_index(Path("indexes/sample"))
    hits = index.search(index.query({4711: 1.5, 17: 0.3}), 10)
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as checked
from scipy.sparse import csr_array

from stages.engines.documents import Documents, Entry
from stages.engines.engine import ENGINES, Engine, Place, engine_class
from stages.export.encode_wordpiece import QueryEncoder
from stages.retrieval.pruning import Ranked
from stages.retrieval.treatment import Treatment
from stages.runtime.errors import UserError
from stages.runtime.files import atomic_write

FILE, DOCUMENTS, QUERIES = "index.json", "documents", "query-encoder"
FORMAT = 1
AGAIN = "run the same `nordic-sparse index` again"


@checked(frozen=True, config=ConfigDict(extra="forbid"))
class Meta:
    """The content of index.json.

    Attributes:
        format: of the folder.
        build: name of the folder with the documents: a digest of everything they are made from.
        source: what was indexed. documents: their number. rows: entries by file.
        model: its folder. model_digest: see `stages.engines.identity`.
        treatment: of long documents, and pruning.
        engine, engine_version: as in `ENGINES`. address, alias: of a server and its index.
        dimensions: size of a vector.
    """

    format: int
    build: str
    source: str
    documents: int
    model: str
    model_digest: str
    treatment: Treatment
    engine: str
    engine_version: str
    address: str
    alias: str
    dimensions: int
    rows: tuple[int, ...]

    @classmethod
    def read(cls, folder: Path) -> "Meta | None":
        """The meta data of the index in ``folder``; None if there is none.

        Raises:
            UserError: it has another format, or is broken.
        """
        path = folder / FILE
        if not path.is_file():
            return None
        try:
            found = _FORM.validate_json(path.read_bytes())
        except ValidationError as error:
            known = f'"format": {FORMAT},' in path.read_text(encoding="utf-8", errors="replace")
            fault = "is broken" if known else "has another format than this version of nordic-sparse reads"
            raise UserError(f"{path}: {fault}; remove {folder} and index the documents again") from error
        if found.format != FORMAT:
            raise UserError(f"{path}: format must be {FORMAT}, got {found.format}; remove {folder} and index the documents again")
        return found

    def write(self, folder: Path) -> None:
        """Make this the index in ``folder``."""
        with atomic_write(folder / FILE) as temporary:
            temporary.write_bytes(_FORM.dump_json(self, indent=2) + b"\n")

    def engine_at(self, folder: Path, documents: Documents) -> Engine:
        """The engine of this index.

        Raises:
            UserError: its package is not installed.
        """
        place = Place(
            folder=folder / self.build / f"{self.engine}-{self.engine_version}",
            parts=documents.parts,
            dimensions=self.dimensions,
            terms=lambda: documents.terms,
            texts=documents.texts,
            collection=f"{self.alias}-{self.build}" if self.alias else "",
            address=self.address,
            alias=self.alias,
        )
        return engine_class(self.engine)(place)


_FORM = TypeAdapter(Meta)


@dataclass(frozen=True)
class Hit:
    """A document that was found: its score, and its entry that has this score (of a document in windows, the best one)."""

    score: float
    entry: Entry


class Index:
    """An index that can be searched; see `open_index`."""

    def __init__(self, folder: Path, meta: Meta) -> None:
        self.folder, self.meta = folder, meta
        self.documents = Documents(folder / meta.build / DOCUMENTS, meta.dimensions, meta.rows)

    @cached_property
    def engine(self) -> Engine:
        """The engine itself, which finds rows."""
        return self.meta.engine_at(self.folder, self.documents)

    def require_model(self, digest: str, name: str) -> None:
        """Raise `UserError` unless a model with this digest made the index: vectors of two models cannot be compared."""
        if digest != self.meta.model_digest:
            made = f"was made with the model that was in {self.meta.model}, and {name} holds another"
            raise UserError(f"{self.folder}: {made}; index the documents again, or give the model that made it with --model")

    @cached_property
    def encoder(self) -> QueryEncoder | None:
        """Of queries, with numpy alone; None if the model's need more. Its vectors are the model's."""
        folder = self.folder / self.meta.build / QUERIES
        return QueryEncoder(folder) if (folder / "query.json").is_file() and not (folder / "tokenizer.json").is_file() else None

    def query(self, weights: Mapping[int, float]) -> csr_array:
        """A query's vector, shape (1, dimensions), from its weights by dimension, with as many of the largest as the index wants."""
        dimensions = sorted(weights)
        data = np.array([weights[dimension] for dimension in dimensions], np.float32)
        vector = csr_array((data, np.array(dimensions, np.int64), [0, len(data)]), shape=(1, self.meta.dimensions))
        dims = self.meta.treatment.max_query_dims
        return vector if dims is None else Ranked(vector).top(dims)

    def search(self, query: csr_array, n: int, accepts: Callable[[Entry], bool] = lambda entry: True) -> list[Hit]:
        """The ``n`` documents with the highest scores, best first, that share a dimension with ``query``, shape (1, dimensions).

        A document's score is that of its best entry.

        Args:
            accepts: which documents may be found, such as those of a language.
        """
        wanted = n
        while True:
            rows, scores = self.engine.search(query, wanted)
            best: dict[str, Hit] = {}
            for entry, score in zip(self.documents.take(rows.tolist()), np.asarray(scores).tolist(), strict=True):
                if accepts(entry):
                    best.setdefault(entry.id, Hit(score, entry))
            if len(best) >= n or len(rows) < wanted:
                return list(best.values())[:n]
            wanted *= 4  # windows of the same documents, or documents that are not accepted, took the places


def open_index(folder: Path) -> Index:
    """The index in ``folder``.

    Raises:
        UserError: there is none; it is broken, of another version of nordic-sparse or of its engine; the engine is not installed.
    """
    meta = Meta.read(folder)
    if meta is None:
        raise UserError(f"{folder}: has no finished index; make one with `nordic-sparse index`, or name another with --index")
    known = ENGINES.get(meta.engine)
    if known is None:
        raise UserError(f"{folder / FILE}: engine must be one of {', '.join(ENGINES)}, got {meta.engine}; index the documents again")
    index = Index(folder, meta)
    _ = index.engine
    if not known.server and meta.engine_version != known.version:
        versions = f"written by {known.package} {meta.engine_version}, and {known.version} is installed"
        raise UserError(f"{folder}: was {versions}; {AGAIN}: it keeps the encoded documents")
    return index
