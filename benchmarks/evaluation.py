"""Search, cost and curves of a large evaluation set in bounded memory, next to the search of sentence-transformers' evaluator.

    python benchmarks/evaluation.py --documents 1000000

No text is encoded: both ways get the same made vectors from disk. Their lengths, weights and the frequencies of their dimensions are
those of a SPLADE model trained on a Danish SQuAD (2,045 documents with 104 dimensions, 1,200 queries with 14, `LENGTHS`, `WEIGHTS`,
`FREQUENCIES`), so that a query touches as large a part of the postings as there. Each query's dimensions are added to one document,
its relevant one. Each way runs in a process of its own, with one thread, whose processor seconds are given:

- ours: `stages.retrieval.scoring.evaluate`, then `cost` and `curves`, each timed.
- stock: SparseInformationRetrievalEvaluator with chunks of 10,000,000 scores, as this project used it before.

Memory is the peak beyond the loaded libraries and the set's ids and texts: private, and with the pages of temporary files that the
system keeps in memory while there is room.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from scipy.sparse import csr_array, vstack
from splade_head import hardware

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
DIMENSIONS, CHUNK, SCORES = 8000, 16_384, 10_000_000
LENGTHS = {  # deciles
    "documents": [29, 80, 91, 98, 103, 106, 110, 114, 118, 124, 151],
    "queries": [4, 9, 10, 12, 13, 14, 15, 16, 18, 21, 44],
}
WEIGHTS = {
    "documents": [0.01, 0.14, 0.4, 0.78, 1.09, 1.32, 1.49, 1.63, 1.76, 1.9, 2.36],
    "queries": [0.01, 0.12, 0.3, 0.62, 1.02, 1.34, 1.55, 1.68, 1.8, 1.94, 2.36],
}
FREQUENCIES = {  # share of the vectors with a dimension: the mean of the most frequent one, of the next, of the next 2, 4, 8 …, 3,904
    "documents": [0.847, 0.639, 0.589, 0.453, 0.332, 0.205, 0.143, 0.0986, 0.0677, 0.0448, 0.0288, 0.0172, 0.00905, 0.00289],
    "queries": [0.186, 0.144, 0.105, 0.0956, 0.0448, 0.027, 0.0141, 0.0155, 0.00847, 0.00568, 0.00368, 0.00249, 0.00106, 0.00053],
}


def drawn(kind: str, rows: int, generator: np.random.Generator) -> csr_array:
    """Made vectors. Dimensions are drawn with repetition, at rates that give their frequencies once the repeated ones are removed."""
    sizes = [1, 1, *(2**n for n in range(1, 12)), DIMENSIONS - 2**12]
    rates = -np.log1p(-np.repeat(FREQUENCIES[kind], sizes))
    lengths = np.interp(generator.random(rows), np.linspace(0, 1, 11), LENGTHS[kind])
    counts = generator.poisson(lengths * rates.sum() / lengths.mean())
    dimensions = np.searchsorted(np.cumsum(rates) / rates.sum(), generator.random(counts.sum()))
    places = np.unique(np.repeat(np.arange(rows), counts) * DIMENSIONS + np.minimum(dimensions, DIMENSIONS - 1))
    weights = np.interp(generator.random(len(places)), np.linspace(0, 1, 11), WEIGHTS[kind]).astype(np.float32)
    return csr_array((weights, np.divmod(places, DIMENSIONS)), shape=(rows, DIMENSIONS))


def write(folder: Path, documents: int, queries: int) -> None:
    """The vectors of a set as <kind>.{data,indices,indptr}.npy-like raw files."""
    generator = np.random.default_rng(0)
    asked = drawn("queries", queries, generator)
    for kind, rows in (("queries", queries), ("documents", documents)):
        ends = [np.zeros(1, np.int64)]
        with (folder / f"{kind}.data").open("wb") as data, (folder / f"{kind}.indices").open("wb") as indices:
            for start in range(0, rows, CHUNK):
                chunk = asked[start : start + CHUNK] if kind == "queries" else drawn(kind, min(CHUNK, rows - start), generator)
                if kind == "documents" and not start:
                    chunk = csr_array(vstack([chunk[:queries].maximum(asked[: chunk.shape[0]]), chunk[queries:]]))
                data.write(chunk.data.astype(np.float32).tobytes())
                indices.write(chunk.indices.astype(np.int32).tobytes())
                ends.append(chunk.indptr[1:] + ends[-1][-1])
        np.concatenate(ends).tofile(folder / f"{kind}.indptr")


class Vectors:
    """A model whose texts are numbers of made vectors, with what both ways call of a `SparseEncoder`."""

    similarity_fn_name, device = "dot", torch.device("cpu")

    def __init__(self, folder: Path) -> None:
        from sentence_transformers import SparseEncoder
        from sentence_transformers.util import dot_score

        self.sparsity, self.similarity = SparseEncoder.sparsity, dot_score
        self._files = {kind: _open(folder / kind) for kind in ("queries", "documents")}

    def rows(self, kind: str) -> int:
        return len(self._files[kind][2]) - 1

    def encode_query(self, texts: list[str], **_: Any) -> torch.Tensor:
        return self._encode("queries", texts)

    def encode_document(self, texts: list[str], **_: Any) -> torch.Tensor:
        return self._encode("documents", texts)

    def _encode(self, kind: str, texts: list[str]) -> torch.Tensor:
        """The vectors from the first text's number to the last's."""
        data, columns, ends = self._files[kind]
        first, last = int(texts[0]), int(texts[-1]) + 1
        low, high = int(ends[first]), int(ends[last])
        rows = np.repeat(np.arange(last - first), np.diff(ends[first : last + 1]))
        indices = torch.from_numpy(np.stack([rows, columns[low:high].astype(np.int64)]))
        values = torch.from_numpy(np.array(data[low:high]))
        return torch.sparse_coo_tensor(indices, values, (last - first, DIMENSIONS), is_coalesced=True)


def _open(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    ends = np.fromfile(path.with_suffix(".indptr"), np.int64)
    return np.memmap(path.with_suffix(".data"), np.float32), np.memmap(path.with_suffix(".indices"), np.int32), ends


class Peak:
    """The peaks of this process's private memory and of its resident set, in MB beyond those at the start."""

    def __enter__(self) -> Self:
        self.start = self.highest = _memory()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()
        self.private, self.resident = (high - low for high, low in zip(self.highest, self.start, strict=True))

    def _watch(self) -> None:
        while not self._done.wait(0.02):
            self.highest = tuple(max(pair) for pair in zip(self.highest, _memory(), strict=True))


def _memory() -> tuple[float, ...]:
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return tuple(int(status[name].split()[0]) / 1024 for name in ("RssAnon", "VmRSS"))


def child(kind: str, folder: Path) -> dict[str, Any]:
    """Seconds of each part, memory, and a few results, which must be equal for both ways."""
    from stages.evaluate.curves import curves
    from stages.evaluate.search_cost import search_cost
    from stages.retrieval.scores import score
    from stages.retrieval.scoring import evaluate
    from stages.retrieval.sets import RetrievalSet

    torch.set_num_threads(1)
    bare, model, found = _memory()[0], Vectors(folder), {}
    model.encode_query(["0"])
    names = {name: {f"{name[0]}{number}": str(number) for number in range(model.rows(name))} for name in ("queries", "documents")}
    qrels = {query: {f"d{number}": 1.0} for number, query in enumerate(names["queries"])}
    made = RetrievalSet("made", None, names["queries"], names["documents"], qrels)
    found["set"] = _memory()[0] - bare

    @contextmanager
    def timed(part: str) -> Iterator[None]:
        start = time.process_time()
        with Peak() as peak:
            yield
        found[part] = {"seconds": time.process_time() - start, "private": peak.private, "resident": peak.resident}

    if kind == "ours":
        with timed("search"):
            result = evaluate(model, made)
        with timed("cost"):
            found["postings"] = search_cost(result.encoded)["query_postings_mean"]
        with timed("curves"):
            curves(result.encoded, made, result.run)
        run = result.run
    else:
        with timed("search"):
            run = stock(model, made)
            score(run, made.qrels)
    found |= score(run, made.qrels) | {"first": next(iter(run.values()))}
    return found


def stock(model: Any, made: Any) -> Any:
    """The run of sentence-transformers' evaluator."""
    from sentence_transformers.sparse_encoder.evaluation import SparseInformationRetrievalEvaluator

    class Keeper(SparseInformationRetrievalEvaluator):
        def compute_metrics(self, queries_result_list: list[Any]) -> dict[str, Any]:
            hits = zip(self.queries_ids, queries_result_list, strict=True)
            self.run = {query: {hit["corpus_id"]: hit["score"] for hit in of_query} for query, of_query in hits}
            return super().compute_metrics(queries_result_list)

        store_metrics_in_model_card_data: Callable[..., None] = lambda self, *_, **__: None

    evaluator = Keeper(
        queries=dict(made.queries), corpus=dict(made.corpus), relevant_docs={query: set(docs) for query, docs in made.qrels.items()},
        corpus_chunk_size=min(50_000, max(1_000, SCORES // len(made.queries))), accuracy_at_k=[10], precision_recall_at_k=[100],
        map_at_k=[100], write_csv=False,
    )  # fmt: skip
    evaluator(model)
    return evaluator.run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=100_000)
    parser.add_argument("--queries", type=int, default=1_000)
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(child(options.child[0], Path(options.child[1]))))
        return
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), options.documents, options.queries)
        size = sum(path.stat().st_size for path in Path(folder).iterdir()) / 2**20
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        results = {}
        for kind in ("ours", "stock"):
            command = [sys.executable, __file__, "--child", kind, folder]
            results[kind] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout)
    ours, other = results["ours"], results["stock"]
    same = all(ours[key] == other[key] for key in ("ndcg@10", "recall@100"))
    print(f"{hardware('cpu')}\n{options.documents:,} documents, {options.queries:,} queries; vectors {size:,.0f} MB, ids and texts "
          f"{ours['set']:,.0f} MB in memory; {ours['postings']:,.0f} postings a query; scores {'equal' if same else 'DIFFER'}\n\n"
          "| part | processor seconds | documents a second | private memory, MB | with files, MB |\n|---|---|---|---|---|")  # fmt: skip
    for name, part in (("stock: search", other["search"]), *((f"ours: {part}", ours[part]) for part in ("search", "cost", "curves"))):
        speed = options.documents / part["seconds"]
        print(f"| {name} | {part['seconds']:.1f} | {speed:,.0f} | {part['private']:,.0f} | {part['resident']:,.0f} |")
    ratios = [other["search"][key] / max(ours["search"][key], 1e-9) for key in ("seconds", "private")]
    print(f"\nsearch: {ratios[0]:.1f} times as fast as stock, with 1/{ratios[1]:.1f} of its private memory")


if __name__ == "__main__":
    main()
