"""The files of a run, made by hand, for the tests of its report: two sets, a text with HTML in it, every optional file."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from stages.report.page import Files

HOSTILE = "<script>document.title = 'broken'</script><img src=x onerror=alert(1)> & \"Ærfugl\""
SETTINGS = {"architecture": "splade", "profile": "sample"}
TERMS = pa.list_(pa.struct([("term", pa.string()), ("query", pa.float32()), ("document", pa.float32())]))


def made_run(folder: Path) -> Files:
    """Write a run's files below ``folder``."""
    files = Files(
        evaluation=folder / "evaluation.json",
        summary=Path("metrics/summary.json"),
        curves=folder / "curves.json",
        slices=folder / "slices.json",
        queries=folder / "queries",
        data=folder / "data.json",
        mix=folder / "mix.json",
        training=folder / "training.csv",
        formatted=folder / "formatted",
        evaluation_sets=folder / "sets",
        resolved=folder / "resolved",
    )
    sets = {"fugler": scores(0.7, 0.6, 0.65, 0.001), "byer/små": scores(0.5, 0.55, 0.4, 0.2)}
    mean = {key: sum(row[key] for row in sets.values()) / 2 for key in sets["fugler"]}
    write(files.evaluation, {**sets, "mean": mean})
    write(files.slices, {"language": {name: {"queries": 2, **scores(0.7, 0.6, 0.65, None)} for name in ("nb", "sv")}})
    points = [{"setting": k, "dims": k - 0.5, "ndcg@10": value} for k, value in ((2, 0.4), (4, 0.695), (8, 0.7))]
    curve = {"points": points, "keeps_99": 4}
    write(files.curves, {name: {"documents_top_k": curve, "queries_mass": curve} for name in sets})
    write(files.data, {"mine": {"train": {"read": 1_200, "dropped": {"duplicate": 100}}}})
    write(files.mix, {"sources": {"mine": {"used": 1_096, "tail_dropped": 4}}})
    files.training.write_text("step,base_loss,query_active_dims\n10,3.5,12\n20,2.5,\n30,1.5,11\n", encoding="utf-8")
    write(files.formatted / "mine" / "manifest.json", {"license": "cc-by-4.0"})
    write_resolved(files.resolved)
    write_queries(files.queries / "fugler.parquet", [row("a", HOSTILE, 1.0, 0.0), row("b", "Hvor bor ærfuglen?", 0.0, 1.0, top=None)])
    write_queries(files.queries / "byer__små.parquet", [row("a", "Hva er hovedstaden?", 0.5, 0.5)])
    return files


def scores(model: float, bm25: float, stemmed: float, p_value: float | None) -> dict[str, float]:
    """The metrics of one set."""
    values = {"ndcg@10": model, "bm25_ndcg@10": bm25, "bm25_stemmed_ndcg@10": stemmed, "mrr@10": model, "recall@100": 1.0}
    values |= {"query_active_dims": 9.5, "corpus_active_dims": 16.25, "ndcg@10_low": model - 0.1, "ndcg@10_high": model + 0.1}
    return values if p_value is None else values | {"p_value": p_value}


def row(query_id: str, query: str, model: float, bm25: float, top: str | None = f"En {HOSTILE}") -> dict[str, Any]:
    """A row of metrics/queries/<set>.parquet; the stemmed BM25 is as good as the plain one."""
    terms = [{"term": "-fugl", "query": 1.5, "document": 2.0}, {"term": "måke", "query": 0.5, "document": 1.0}]
    found = {"bm25_ndcg@10": bm25, "bm25_rank": 1 if bm25 else None}
    return {
        "query_id": query_id, "query": query, "language": "nb", "model_ndcg@10": model, "model_rank": 1 if model else None, **found,
        "bm25_stemmed_ndcg@10": bm25, "bm25_stemmed_rank": found["bm25_rank"], "relevant_id": "d1", "relevant": "Ærfuglene hekker her.",
        "top_id": top and "d2", "top": top, "relevant_terms": terms, "top_terms": terms if top else None,
    }  # fmt: skip


def write_queries(path: Path, rows: list[dict[str, Any]]) -> None:
    def kind(name: str) -> pa.DataType:
        if name.endswith("_terms"):
            return TERMS
        return pa.float64() if name.endswith("ndcg@10") else pa.int32() if name.endswith("_rank") else pa.string()

    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows, schema=pa.schema([(name, kind(name)) for name in rows[0]])), path)


def write_resolved(folder: Path) -> None:
    folder.mkdir(parents=True)
    texts = {
        "overrides": "architecture: splade\nloss:\n  query_regularizer_weight: 1e-4\n",
        "train": "seed: 42\n",
        "push": "datasets:\n  mine:\n    repo: someone/mine\n    revision: 0123456789abcdef\n    sample: false\n",
        "download_eval": "fugler:\n  sample: sample\n",
        "download_mteb": "tasks: [NorQuadRetrieval]\npath:\n",
    }
    for name, text in texts.items():
        (folder / f"{name}.yaml").write_text(text, encoding="utf-8")


def write(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")
