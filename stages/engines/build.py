"""Makes an index: encodes the documents, which can be interrupted at any time, and hands them to an engine.

The new index is built beside the old one, and replaces it when it is complete. What a killed run has encoded is kept: files of `PART`
documents, each there whole or not at all, and the next run with the same model, documents and treatment resumes after the last of them.
"""

import fcntl
import hashlib
import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import csr_array
from sentence_transformers import SparseEncoder

from stages.encoders.active_dims import autoencoder_of
from stages.engines.documents import TERMS, Documents, names_of, read_note
from stages.engines.engine import ENGINES, Engine, engine_class
from stages.engines.identity import digest
from stages.engines.index import DOCUMENTS, FORMAT, QUERIES, Meta
from stages.engines.progress import Progress
from stages.engines.server import require_address
from stages.engines.sources import Checked, Document, Source
from stages.export import query_encoder
from stages.retrieval.documents import encode_documents
from stages.retrieval.pruning import Ranked
from stages.retrieval.scores import NOT_A_NUMBER
from stages.retrieval.treatment import Treatment
from stages.retrieval.vectors import encode
from stages.retrieval.windows import Windows
from stages.runtime.errors import NO_ROOM, UserError
from stages.runtime.files import atomic_write, remove, write_json
from stages.runtime.oom import memory_errors

PART = 512
"""Documents of a file: what is encoded again after a kill, and read for one result."""
CHECKED, LOCK, WRITTEN = "checked.json", ".lock", "written"
NOTE = "written.json"
"""In the engine's folder, so that it goes with that: what is missing is written again."""
BUILD = re.compile("[0-9a-f]{16}")


@dataclass(frozen=True)
class Model:
    """A model by its folder.

    Attributes:
        digest: see `stages.engines.identity`.
        treatment: of documents and vectors.
        load: loads it; not called if all documents are encoded already.
    """

    folder: Path
    digest: str
    treatment: Treatment
    load: Callable[[], SparseEncoder]
    batch_size: int = 32


def build(folder: Path, source: Source, model: Model, engine: str, address: str = "", alias: str = "") -> Meta:
    """Make the index of ``source`` in ``folder``, or complete one that was interrupted.

    Args:
        address: of a server; alias: name of the index there.

    Raises:
        UserError: a document is faulty, the engine is not installed or does not answer, or another process builds here. The index that
            was in ``folder`` stays. Or ``folder`` holds something else than an index.
        KeyboardInterrupt: with what to do next.
    """
    engine_class(engine)  # is it installed?
    if address:
        require_address(address)
    old = _old(folder)
    if not old:
        _require_free(folder)
    with _alone(folder):
        made_from = [digest((path.name, path) for path in source.files), source.settings(), model.digest, asdict(model.treatment), FORMAT]
        name = hashlib.sha256(json.dumps(made_from).encode()).hexdigest()[:16]
        work = folder / name
        if old and old.build != name:
            print(f"index: {folder} holds an index of {old.documents:,} documents, which the new one replaces", flush=True)
        checked = _check(source, work)
        documents = _encode(source, model, checked, work / DOCUMENTS)
        meta = Meta(
            format=FORMAT,
            build=name,
            source=source.name,
            documents=checked.documents,
            model=str(model.folder),
            model_digest=model.digest,
            treatment=model.treatment,
            engine=engine,
            engine_version=ENGINES[engine].version,
            address=address,
            alias=alias,
            dimensions=documents.dimensions,
            rows=tuple(documents.rows),
        )
        _write_engine(folder, meta, documents)
        meta.write(folder)
        _clean(folder, meta, old)
    return meta


def _old(folder: Path) -> Meta | None:
    """The index that a new one replaces; None if there is none, or one of another version, which is replaced too."""
    try:
        return Meta.read(folder)
    except UserError:
        return None


def _require_free(folder: Path) -> None:
    """Raise `UserError` if an index would come to lie among a user's own files. What we began has a lock."""
    if folder.exists() and not (folder / LOCK).is_file() and not (folder.is_dir() and not any(folder.iterdir())):
        raise UserError(f"--out: {folder} must be a new folder or that of an index, got something else; name another")


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    with ExitStack() as stack:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock = stack.enter_context((folder / LOCK).open("a"))
        except OSError as error:
            if error.errno in NO_ROOM:
                raise
            raise UserError(f"--out: {folder} cannot be written ({error.strerror}); name another") from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError(f"{folder}: another process is building this index; wait for it, or choose a folder with --out") from error
        yield


def _check(source: Source, work: Path) -> Checked:
    """The number of documents, from an earlier run if it got so far."""
    path = work / CHECKED
    if found := read_note(path):
        return Checked(**found)
    print(f"index: reading {source.name}", flush=True)
    checked = source.check()
    if checked.empty:
        print(f"index: {checked.empty:,} without text left out", flush=True)
    write_json(path, checked._asdict())
    return checked


def _encode(source: Source, model: Model, checked: Checked, folder: Path) -> Documents:
    """Encode what is not encoded yet."""
    terms: Any = read_note(folder / TERMS)
    if not terms:
        remove(folder)  # files that somebody took the names of the dimensions from
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.glob(".*.tmp"):  # by a process that was killed
        remove(left)
    documents = Documents(folder, len(terms))
    done = min(PART * len(documents.rows), checked.documents)
    if done == checked.documents:
        return documents
    encoder = model.load()
    remedy = f"lower --batch-size (it is {model.batch_size}); the same command resumes"
    with (
        memory_errors(f"--batch-size: the memory must hold a batch of documents; {remedy}"),
        Progress("encoding", checked.documents, done, "documents") as progress,
    ):
        rest = islice(source.documents(), done, None)
        while batch := list(islice(rest, PART)):
            ids, texts, languages, vectors = _encoded(encoder, batch, model)
            if not documents.dimensions:
                documents.dimensions = vectors.shape[1]
                _write_queries(encoder, folder.with_name(QUERIES), model.folder.name)
                documents.write_terms(_terms(encoder, documents.dimensions))
            documents.append(ids, texts, languages, vectors)
            progress.update(len(batch))
    return documents


def _write_queries(encoder: SparseEncoder, folder: Path, name: str) -> None:
    """Write what encodes an inference-free model's queries without torch, so that a search need not load the model."""
    with suppress(UserError), atomic_write(folder) as made:  # other models have no such table
        made.mkdir()
        query_encoder.write(encoder, made, name, max_dims=None)


def _encoded(encoder: SparseEncoder, batch: Sequence[Document], model: Model) -> tuple[list[str], list[str], list[str | None], csr_array]:
    """Ids, texts, languages and pruned vectors of the entries of some documents."""
    treatment = model.treatment
    texts = [document.text for document in batch]
    windows = Windows.of(encoder, treatment) if treatment.long_documents == "max_score" else None
    parts = windows.split(texts) if windows else [[text] for text in texts]
    entries = [window for part in parts for window in part]
    if windows:
        vectors = encode(encoder, entries, "document", model.batch_size)
    else:
        vectors, _ = encode_documents(encoder, texts, treatment, model.batch_size)
    if np.isnan(vectors.data).any():
        raise UserError(NOT_A_NUMBER)
    if treatment.max_document_dims is not None:
        vectors = Ranked(vectors).top(treatment.max_document_dims)
    owners = [document for document, part in zip(batch, parts, strict=True) for _ in part]
    return [owner.id for owner in owners], entries, [owner.language for owner in owners], vectors


def _terms(encoder: SparseEncoder, dimensions: int) -> list[str]:
    if autoencoder_of(encoder):
        return names_of(dimensions, None)
    tokenizer: Any = encoder.tokenizer
    return names_of(dimensions, tokenizer.convert_ids_to_tokens(list(range(min(dimensions, len(tokenizer))))))


def _write_engine(folder: Path, meta: Meta, documents: Documents) -> None:
    """Hand the documents to the engine, unless an earlier run has and, of an engine on this disk, what it wrote can be read."""
    engine = meta.engine_at(folder, documents)
    note = folder / meta.build / f"{meta.engine}-{meta.engine_version}" / NOTE
    written = {WRITTEN: len(documents), "address": meta.address, "alias": meta.alias}
    if read_note(note) != written or not (meta.address or _readable(engine, documents)):
        with Progress(f"writing to {meta.engine}", len(documents), 0, "entries") as progress:
            engine.write(progress.reach)
        write_json(note, written)
    engine.publish()


def _readable(engine: Engine, documents: Documents) -> bool:
    try:
        engine.search(next(iter(documents.parts())).vectors[:1], 1)
    except UserError:  # its files are damaged
        return False
    return True


def _clean(folder: Path, meta: Meta, old: Meta | None) -> None:
    """Remove what the new index replaces, and builds that were never completed; not what others put there, such as the page's vectors."""
    ours = f"{meta.engine}-{meta.engine_version}"
    if old and (old.build, old.engine, old.address, old.alias) != (meta.build, meta.engine, meta.address, meta.alias):
        try:
            old.engine_at(folder, Documents(folder / old.build / DOCUMENTS, old.dimensions, old.rows)).remove()
        except UserError as error:
            print(f"the index before this one is not removed: {error}", flush=True)
    for path in folder.iterdir():
        if BUILD.fullmatch(path.name) and path.name != meta.build:
            remove(path)
    for path in (folder / meta.build).iterdir():
        if path.name.startswith(tuple(f"{name}-" for name in ENGINES)) and path.name != ours:
            remove(path)
