"""Search engines at scale: exact search, embedded Qdrant, Seismic and BM25s over one collection, one query at a time, on one thread.

    python benchmarks/search_engines.py                                     # models/final, the built-in sample, 100,000 documents
    python benchmarks/search_engines.py --documents 1000000 --out runs/million
    python benchmarks/search_engines.py --model ../da/models/final --data ../squad_da

The collection is the evaluation set's own documents, with their vectors and qrels, and as many made ones as are missing. A made document
takes as many sentences as a real one has: one of that document, the others of it and the 16 documents most similar to it. Its vector is
the element-wise maximum of theirs, as SPLADE pools, each weight times a log-normal factor (sigma .1), so that scores do not tie. No
sentence is of a document that is relevant to a query: no added document is right. The first table compares the two distributions.

Seismic's settings are chosen on half of the queries: the fastest that finds 90, 95 and 99% of the ten best. All numbers are of the other
half: recall@10 of exact search, strictly and with every document accepted that scores within .1% of the tenth best; nDCG@10; percentiles
over queries of the median of --rounds rounds, in which the engines take turns; posting entries of a query's terms, at most ("≤") where
an engine skips some and does not say how many. Index time is on one thread, without encoding; bytes are those on disk.

The last table is end to end: encode the text of a query with the model, by sentence-transformers or, if the model is inference-free, by
its export, and search.

--work keeps vectors and indexes: the same command only measures the second time. Its folder of a collection is a data set of
lsr-benchmark (https://github.com/reneuir/lsr-benchmark), with vectors that its engines read; --out gets the qrels and, for each row, a
folder with its run and metadata, for `lsr-benchmark evaluate OUT/*/ -m ndcg_cut.10 -m runtime_wallclock` (0.1.1).
Needs `make .venv/engines`.
"""

import argparse
import copy
import gzip
import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from importlib.metadata import version
from itertools import chain, product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import bm25s
import numpy as np
from qdrant_edge import EdgeConfig, EdgeShard, EdgeSparseVectorParams
from scipy.sparse import csr_array, load_npz, save_npz, vstack
from sentence_transformers import SparseEncoder
from splade_head import hardware

from stages.engines.documents import Part
from stages.engines.engine import ENGINES, Place, engine_class
from stages.engines.identity import model_digest
from stages.engines.qdrant import VECTOR
from stages.export import encode_tokenizers, encode_wordpiece, query_encoder
from stages.retrieval.bm25 import K1, B, tokenize
from stages.retrieval.documents import encode_documents, maxima
from stages.retrieval.pruning import Ranked
from stages.retrieval.scores import NDCG, score
from stages.retrieval.sets import load_sets
from stages.retrieval.treatment import Treatment
from stages.retrieval.vectors import dimension_counts, encode, encode_chunk
from stages.runtime.errors import UserError
from stages.runtime.files import read_json, remove, write_json

ROOT = Path(__file__).resolve().parents[1]
THREADS = dict.fromkeys(("OMP_NUM_THREADS", "RAYON_NUM_THREADS"), "1") | {"TOKENIZERS_PARALLELISM": "false"}
SENTENCE = re.compile(r"(?<=[.!?])\s+")
NEIGHBOURS, JITTER = 16, 0.1
CHUNK = 16_384
N, TIE = 10, 1e-3
RANKS = (0, 9, 99, 999)
TARGETS = (0.9, 0.95, 0.99)
CUTS, FACTORS = (1, 2, 3, 4, 6, 8, 12, 32), (1.1, 1.0, 0.9, 0.8, 0.7)
SEISMIC, MADE = "Seismic", "made-"
Found = tuple[np.ndarray, np.ndarray]


class Collection(NamedTuple):
    """A folder's vectors and ids, the texts of its queries, and the qrels."""

    folder: Path
    documents: csr_array
    queries: csr_array
    ids: list[str]
    texts: dict[str, str]
    qrels: dict[str, dict[str, float]]


class System(NamedTuple):
    """A row of the table. ``queries`` are in the form that ``search`` takes; ``index`` has the seconds and bytes of the index."""

    name: str
    package: str
    search: Callable[[Any, int], Found]
    queries: Sequence[Any]
    touched: str
    index: dict[str, Any]


def collection(options: argparse.Namespace) -> Collection:
    """The collection, made unless an earlier call did."""
    if options.data:
        sets = load_sets(options.data, options.data.resolve().name, "beir")
    else:
        sets = load_sets(ROOT / "data/eval/sample", "sample", "nanobeir")  # its ids are unique over the four sets
    corpus, queries, qrels = (
        {key: value for each in sets for key, value in getattr(each, of).items()} for of in ("corpus", "queries", "qrels")
    )
    folder = options.work / f"{sets[0].entry}-{options.documents}-{model_digest(options.model)[:8]}"
    if not (folder / "doc/doc-embeddings.npz").exists():
        make(folder, corpus, queries, qrels, options)
    ids = (folder / "doc/doc-ids.txt").read_text(encoding="utf-8").splitlines()
    documents, asked = (load_npz(folder / f"{kind}/{kind}-embeddings.npz") for kind in ("doc", "query"))
    return Collection(folder, documents, asked, ids, queries, qrels)


def make(
    folder: Path, corpus: dict[str, str], queries: dict[str, str], qrels: dict[str, dict[str, float]], options: argparse.Namespace
) -> None:
    """Write a collection's files, its documents' vectors last."""
    relevant = {document for grades in qrels.values() for document in grades}
    free = [row for row, document in enumerate(corpus) if document not in relevant]
    missing, texts = options.documents - len(corpus), [*corpus.values()]
    if missing < 1 or not free:
        sys.exit(f"--documents: must be above the {len(corpus)} of the set, of which some must be relevant to no query")
    model = SparseEncoder(str(options.model), device="cpu", local_files_only=True)
    real, _ = encode_documents(model, texts, Treatment("max_vector", overlap=Treatment.read(options.model).overlap))
    ids = [*corpus, *(f"{MADE}{number}" for number in range(missing))]
    for kind in ("doc", "query"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
    chunks, names = [real], iter(ids)
    with gzip.open(folder / "corpus.jsonl.gz", "wt", compresslevel=1, encoding="utf-8") as file:
        for matrix, some in chain([(None, texts)], made_documents(model, real[free], [texts[row] for row in free], missing)):
            file.writelines(line(doc_id=next(names), segments=[], default_text=text) for text in some)
            chunks += [] if matrix is None else [matrix]
            print(f"{sum(chunk.shape[0] for chunk in chunks):,} of {options.documents:,} documents", file=sys.stderr, flush=True)
    (folder / "queries.jsonl").write_text("".join(line(qid=name, query=text) for name, text in queries.items()), encoding="utf-8")
    write_qrels(folder, qrels)
    asked = encode(model, [*queries.values()], "query")
    for kind, these, matrix in (("query", queries, asked), ("doc", ids, vstack(chunks, format="csr"))):
        (folder / kind / f"{kind}-ids.txt").write_text("".join(f"{name}\n" for name in these), encoding="utf-8")
        matrix.sort_indices()
        save_npz(folder / kind / "unfinished.npz", matrix, compressed=False)
        (folder / kind / "unfinished.npz").rename(folder / kind / f"{kind}-embeddings.npz")


def line(**values: Any) -> str:
    return json.dumps(values, ensure_ascii=False) + "\n"


def write_qrels(folder: Path, qrels: dict[str, dict[str, float]]) -> None:
    rows = (f"{query} 0 {document} {grade:g}\n" for query, grades in qrels.items() for document, grade in grades.items())
    (folder / "qrels.txt").write_text("".join(rows), encoding="utf-8")


def made_documents(model: SparseEncoder, real: csr_array, texts: Sequence[str], number: int) -> Iterator[tuple[csr_array, list[str]]]:
    """``number`` vectors and texts made of sentences of ``texts``, whose vectors are ``real``, a chunk at a time."""
    generator = np.random.default_rng(0)
    split = [SENTENCE.split(text) for text in texts]
    sentences = [sentence for each in split for sentence in each]
    vectors, counts = encode(model, sentences, "document"), np.array([len(each) for each in split])
    starts = np.cumsum(counts) - counts
    similar = np.concatenate([nearest(real[first : first + 512], real) for first in range(0, real.shape[0], 512)])
    for first in range(0, number, CHUNK):
        anchors = generator.integers(len(texts), size=min(CHUNK, number - first))
        owners, begins = np.repeat(anchors, counts[anchors]), np.cumsum(counts[anchors]) - counts[anchors]
        sources = similar[owners, generator.integers(similar.shape[1], size=len(owners))]
        sources[begins] = anchors
        chosen = starts[sources] + generator.integers(counts[sources])
        matrix = maxima(vectors[chosen], counts[anchors])
        matrix.data *= generator.lognormal(0, JITTER, matrix.nnz).astype(np.float32)
        yield matrix, [" ".join(sentences[row] for row in rows) for rows in np.split(chosen, begins[1:])]


def nearest(some: csr_array, every: csr_array) -> np.ndarray:
    """The rows of ``every`` most similar to each of ``some``, itself among them, shape (rows, NEIGHBOURS + 1 or all)."""
    scores, number = (some @ every.T).toarray(), min(NEIGHBOURS + 1, every.shape[0])
    return np.argpartition(-scores, number - 1)[:, :number]


def entries(matrix: csr_array, queries: csr_array) -> np.ndarray:
    """The posting-list entries of each query's dimensions."""
    ends = np.concatenate([[0], np.cumsum(dimension_counts(matrix)[queries.indices])])
    return np.diff(ends[queries.indptr])


def distribution(given: Collection) -> str:
    """How near the made documents are to the real ones."""
    real = sum(not name.startswith(MADE) for name in given.ids)
    rows = [
        "| documents | active dims p5, p50, p95 | share of documents with the 1st, 10th, 100th, 1,000th term | "
        "posting entries a query and document, p50, p95 |",
        "|---|---|---|---|",
    ]
    for name, matrix in (("real", given.documents[:real]), ("made", given.documents[real:])):
        dims = np.percentile(np.diff(matrix.indptr), (5, 50, 95))
        shares = np.sort(dimension_counts(matrix))[::-1][[rank for rank in RANKS if rank < matrix.shape[1]]] / matrix.shape[0]
        touched = np.percentile(entries(matrix, given.queries), (50, 95)) / matrix.shape[0]
        cells = (", ".join(f"{value:{form}}" for value in values) for form, values in ((".0f", dims), (".4f", shares), (".2f", touched)))
        rows.append(f"| {matrix.shape[0]:,} {name} | {' | '.join(cells)} |")
    return "\n".join(rows)


def systems(given: Collection, options: argparse.Namespace) -> list[System]:
    """Exact search, Qdrant, BM25s, and Seismic with each summary energy, which has no setting yet."""
    vectors, width = given.documents, given.documents.shape[1]
    queries = [given.queries[[row]] for row in range(given.queries.shape[0])]
    read = f"{entries(vectors, given.queries).mean():,.0f}"

    def parts() -> Iterator[Part]:
        for number, first in enumerate(range(0, vectors.shape[0], CHUNK)):
            yield Part(number, first, None, vectors[first : first + CHUNK])

    def system(name: str, kind: str, folder: str, **settings: float) -> tuple[System, Any]:
        engine: Any = engine_class(kind)(Place(given.folder / "engines" / folder, parts, width))
        vars(engine).update(settings)
        index = written(given.folder / "engines" / folder, ENGINES[kind].package, lambda: engine.write(lambda rows: None))
        return System(name, ENGINES[kind].package, engine.search, queries, f"≤ {read}", index), engine

    exact, _ = system("exact (scipy)", "parquet", "exact")
    size = (given.folder / "doc/doc-embeddings.npz").stat().st_size
    exact = exact._replace(package="scipy", touched=read, index={"seconds": 0.0, "bytes": size})
    qdrant, engine = system("Qdrant, embedded", "qdrant", "qdrant")
    config = EdgeConfig(vectors={}, sparse_vectors={VECTOR: EdgeSparseVectorParams()}, max_search_threads=1)
    vars(engine)["_shard"] = EdgeShard.load(str(given.folder / "engines/qdrant"), config)
    seismic = [
        system(f"{SEISMIC}, energy {energy:g}", "seismic", f"seismic-{energy:g}", summary_energy=energy)[0] for energy in options.energy
    ]
    return [exact, qdrant, words(given), *seismic]


def written(folder: Path, package: str, write: Callable[[], object]) -> dict[str, Any]:
    """Seconds and bytes of an index, which ``write`` makes unless it did before."""
    note, made_by = folder.parent / f"{folder.name}.json", {"package": package, "version": version(package)}
    index: dict[str, Any] = read_json(note)
    if {**index, **made_by} != index:
        print(f"{folder.name}: writing the index", file=sys.stderr, flush=True)
        remove(folder)
        start = time.perf_counter()
        write()
        seconds = time.perf_counter() - start
        size = sum(path.stat().st_blocks * 512 for path in folder.rglob("*"))
        folder.parent.mkdir(exist_ok=True)
        write_json(note, index := {**made_by, "seconds": seconds, "bytes": size})
    return index


def words(given: Collection) -> System:
    """BM25, plain, over the same documents' texts."""
    folder = given.folder / "engines/bm25s"

    def write() -> None:
        with gzip.open(given.folder / "corpus.jsonl.gz", "rt", encoding="utf-8") as file:
            tokens = bm25s.tokenize((json.loads(row)["default_text"] for row in file), stopwords=[], show_progress=False)
        index = bm25s.BM25(k1=K1, b=B)
        index.index(tokens, show_progress=False)
        index.save(str(folder), show_progress=False)

    noted = written(folder, "bm25s", write)
    index = bm25s.BM25.load(str(folder), mmap=True)
    queries = [[word for word in each if word in index.vocab_dict] for each in tokenize(given.texts.values())]
    lengths = np.diff(index.scores["indptr"])
    touched = np.mean([sum(lengths[index.vocab_dict[word]] for word in each) for each in queries])

    def search(query: list[str], n: int) -> Found:
        if not query:
            return np.empty(0, np.int64), np.empty(0, np.float32)
        rows, scores = index.retrieve([query], k=n, show_progress=False)
        return rows[0], scores[0]

    return System("BM25s", "bm25s", search, queries, f"{touched:,.0f}", noted)


def found_share(found: Sequence[Found], best: Sequence[Found], given: Collection, rows: Sequence[int]) -> tuple[float, float]:
    """Recall of the ``best`` results: strictly, and with those accepted that score within `TIE` of the last."""
    strict, tied = [], []
    for row, (some, _), (exact, scores) in zip(rows, found, best, strict=True):
        if len(exact):
            strict.append(len(np.intersect1d(some, exact)) / len(exact))
            reached = given.documents[some] @ given.queries[[row]].toarray().ravel() if len(some) else np.empty(0)
            tied.append(int((reached >= scores[-1] * (1 - TIE)).sum()) / len(exact))
    return float(np.mean(strict)), float(np.mean(tied))


def with_settings(indexes: Sequence[System], best: Sequence[Found], given: Collection, rows: Sequence[int]) -> list[System]:
    """For each target the fastest index and setting of Seismic that reaches it on these queries; those that share one are one row."""
    tried: list[tuple[float, float, System]] = []
    for index in indexes:
        index.search(index.queries[rows[0]], N)  # loads it, for the copies below to share
    for index, cut, factor in product(indexes, CUTS, FACTORS):
        engine: Any = copy.copy(index.search.__self__)
        engine.query_cut, engine.heap_factor = cut, factor
        start = time.perf_counter()
        results = [engine.search(index.queries[row], N) for row in rows]
        taken = time.perf_counter() - start
        name = f"{index.name}, query_cut {cut}, heap_factor {factor:g}"
        tried.append((taken, found_share(results, best, given, rows)[0], index._replace(name=name, search=engine.search)))
    chosen: dict[str, tuple[System, list[str]]] = {}
    for target in TARGETS:
        reached = [each for each in tried if each[1] >= target] or [max(tried, key=lambda each: each[1])]
        _, recall, system = min(reached, key=lambda each: each[0])
        mark = f"{target:.0%}" if recall >= target else f"{target:.0%} not reached"
        chosen.setdefault(system.name, (system, []))[1].append(mark)
    found = []
    for name, (system, marks) in chosen.items():
        read = Ranked(given.queries).top(system.search.__self__.query_cut)  # the posting lists of the other terms are not read
        touched = f"≤ {entries(given.documents, read).mean():,.0f}"
        found.append(system._replace(name=f"{name} ({', '.join(marks)})", touched=touched))
    return found


def in_rounds(asked: Sequence[System], rows: Sequence[int], rounds: int) -> tuple[list[np.ndarray], list[list[Found]]]:
    """Each system's milliseconds a query, the median of the rounds, and its results."""
    taken, found = np.empty((rounds, len(asked), len(rows))), [[system.search(system.queries[row], N) for row in rows] for system in asked]
    for number in range(rounds):
        for place, system in enumerate(asked):
            for each, row in enumerate(rows):
                start = time.perf_counter_ns()
                system.search(system.queries[row], N)
                taken[number, place, each] = (time.perf_counter_ns() - start) / 1e6
    return list(np.median(taken, axis=0)), found


def end_to_end(asked: Sequence[System], given: Collection, options: argparse.Namespace) -> Iterator[System]:
    """Each system asked with texts."""
    model = SparseEncoder(str(options.model), device="cpu", local_files_only=True)
    encoders: dict[str, Callable[[str], csr_array]] = {"sentence-transformers": lambda text: encode_chunk(model, [text], "query")}
    with suppress(UserError):  # if it is not inference-free
        encoders["its export"] = exported(model)
    for (name, encoder), system in product(encoders.items(), asked):

        def search(text: str, n: int, encoder: Any = encoder, system: System = system) -> Found:
            return system.search(encoder(text), n)

        yield system._replace(name=f"{name}, {system.name}", search=search, queries=[*given.texts.values()])


def exported(model: SparseEncoder) -> Callable[[str], csr_array]:
    """The queries of an inference-free model without torch."""
    with TemporaryDirectory() as folder:
        query_encoder.write(model, Path(folder), "model", None)
        tokenizers = (Path(folder) / "tokenizer.json").exists()
        encoder = (encode_tokenizers if tokenizers else encode_wordpiece).QueryEncoder(folder)

    def encode_query(text: str) -> csr_array:
        ids, weights = encoder(text)
        return csr_array((weights, ids, [0, len(ids)]), shape=(1, len(encoder.weights)))

    return encode_query


def record(system: System, taken: np.ndarray, found: Sequence[Found], given: Collection, rows: Sequence[int], options: Any) -> None:
    """The run of a row and its metadata, as lsr-benchmark reads them."""
    folder = options.out / re.sub(r"[^a-z0-9.]+", "-", system.name.lower()).strip("-")
    folder.mkdir(parents=True, exist_ok=True)
    names = [*given.texts]
    with gzip.open(folder / "run.txt.gz", "wt", encoding="utf-8") as file:
        for row, (some, scores) in zip(rows, found, strict=True):
            for rank, (document, value) in enumerate(zip(some.tolist(), scores.tolist(), strict=True), 1):
                file.write(f"{names[row]} Q0 {given.ids[document]} {rank} {value:.6g} {folder.name}\n")
    data = {"test collection": {"name": str(options.out.resolve())}, "embedding model": {"name": str(options.model)}}
    for part, milliseconds in (("index", system.index["seconds"] * 1e3), ("retrieval", taken.sum())):
        written_by = {"tag": folder.name, "platform": {"hardware": hardware("cpu")}, "data": data}
        program = {"software": {"packages": [f"{system.package}=={version(system.package)}"]}}
        runtime = {"runtime": {"wallclock": f"{milliseconds:.0f} ms"}}
        write_json(folder / f"{part}-metadata.yml", {**written_by, "implementation": program, "resources": runtime})  # JSON is YAML


def percentiles(taken: np.ndarray) -> str:
    return ", ".join(f"{value:.3g}" for value in np.percentile(taken, (50, 95, 99)))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--documents", type=int, default=100_000)
    parser.add_argument("--model", type=Path, default=ROOT / "models/final")
    parser.add_argument("--data", type=Path, help="a BEIR folder; the built-in sample unless given")
    parser.add_argument("--energy", type=float, nargs="+", default=[0.4, 0.9], help="Seismic's summary_energy, an index for each")
    parser.add_argument("--queries", type=int, default=1000, help="half of them choose Seismic's settings")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--work", type=Path, default=ROOT / "indexes/benchmark")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    given = collection(options)
    print(f"{hardware('cpu')}, scipy {version('scipy')}; {given.folder.name}, {len(given.texts)} queries\n\n{distribution(given)}\n")
    rows = np.random.default_rng(0).permutation(len(given.texts))[: options.queries].tolist()
    tuned, rows = rows[: len(rows) // 2], sorted(rows[len(rows) // 2 :])
    exact, qdrant, bm25, *seismic = systems(given, options)
    best = [exact.search(exact.queries[row], N) for row in tuned]
    approximate = with_settings(seismic, best, given, tuned)
    measured = [exact, qdrant, *approximate, bm25]
    milliseconds, found = in_rounds(measured, rows, options.rounds)
    qrels = {name: given.qrels[name] for name in (list(given.texts)[row] for row in rows)}
    print(
        "| engine | version | index s | bytes a document | ms a query: p50, p95, p99 | queries a second | × exact, p50 | "
        "recall@10 of exact; ties accepted | nDCG@10 | posting entries a query |\n" + "|---" * 10 + "|"
    )
    for system, taken, results in zip(measured, milliseconds, found, strict=True):
        run = {
            name: {given.ids[place]: -float(rank) for rank, place in enumerate(places)}
            for name, (places, _) in zip(qrels, results, strict=True)
        }
        shares = "" if system is bm25 else "{:.3f}; {:.3f}".format(*found_share(results, found[0], given, rows))
        cells = [
            system.name, f"{system.package} {version(system.package)}", f"{system.index['seconds']:,.1f}",
            f"{system.index['bytes'] / len(given.ids):,.0f}", percentiles(taken), f"{1e3 / taken.mean():,.0f}",
            f"{np.median(milliseconds[0]) / np.median(taken):.3g}", shares, f"{score(run, qrels)[NDCG]:.3f}", system.touched,
        ]  # fmt: skip
        print(f"| {' | '.join(cells)} |", flush=True)
        if options.out:
            record(system, taken, results, given, rows, options)
            write_qrels(options.out, qrels)
    print("\n| encoder and engine, end to end | ms a query: p50, p95, p99 |\n|---|---|")
    whole = list(end_to_end([qdrant, *approximate], given, options))
    for system, taken in zip(whole, in_rounds(whole, rows, options.rounds)[0], strict=True):
        print(f"| {system.name} | {percentiles(taken)} |")


if __name__ == "__main__":
    if any(os.environ.get(name) != value for name, value in THREADS.items()):
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | THREADS)  # read as the libraries are loaded
    main()
