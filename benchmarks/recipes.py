"""Which parts of a recipe earn their place: each alone and all together, on BEIR folders, beside BM25 and a dense model.

    python benchmarks/recipes.py ../norquad:nb ../swequad:sv --dense ../e5-small     # dev queries, to choose
    python benchmarks/recipes.py ../norquad:nb ../swequad:sv --dense ../e5-small --split test --seeds 3     # once, for the table

A recipe is an encoder and parts, joined by "+": ``splade``, ``splade+mined-both+kl``, ``inference-free-splade+all``. A part is a name of
`PARTS`, or ``key=value`` as in params.yaml. Each recipe is a run of the pipeline in a folder of its own below ``--work``, from a base made
of the set's training rows; each sees the same number of rows over all its epochs. Only qrels/train.tsv trains. Only the queries of
``--split`` are scored; mix keeps those of dev and test, and their documents, out of training.

Beside the recipes: BM25, plain and stemmed; with ``--dense`` that model, and the csr control: its vectors made sparse without training.

It takes minutes a recipe and set, so hours for all. Interrupted, it resumes: what is trained or scored is kept in ``--work``, until its
recipe changes. A change of the code makes nothing again; the table names the commits. ``--table`` prints what there is.
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

import numpy as np
from dense_rows import control, vectors
from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
DENSE = "{dense}"
"""In a part's values: the folder that --dense names."""
PARTS: dict[str, dict[str, Any]] = {
    "cut": {"model.long_documents": "cut"},  # without windows
    "mined": {"mining.method": "bm25"},
    "mined-both": {"mining.method": "both", "mining.model": DENSE, "mining.teachers": [{"model": DENSE}], "mining.negatives": 4},
    "kl": {  # of the negatives of mined-both
        "mining.teachers": [{"model": "bm25", "weight": 2}, {"model": DENSE}],
        "loss.distillation": "kl",
        "loss.distillation_temperature": 0.3,
    },
    "margin-mse": {"loss.distillation": "margin_mse"},
    "batch-128": {"training.per_device_train_batch_size": 128, "training.mini_batch_size": 32},
}
ARCHITECTURES: dict[str, dict[str, Any]] = {
    "splade": {},
    "inference-free-splade": {},
    "csr": {  # the latents and numbers of nordic's preset: those of own are for a base made from the texts
        "model.base_model": DENSE,
        "model.k": 128,
        "model.hidden_dim": 512,
        "loss.nested_k": [16, 32, 64, 128, 256],
        "evaluation.active_dims": [],
    },
}
ALL = ("mined-both", "kl")
"""What ``all`` stands for."""
SPARSE = ("+cut", "", "+batch-128", "+mined", "+mined-both", "+mined-both+kl")
RECIPES = [*(f"{encoder}{parts}" for encoder in ("splade", "inference-free-splade") for parts in SPARSE), "csr"]
KS = (64, 128)
LENGTH = 128  # tokens
BM25, STEMMED, DENSE_ROW = "BM25", "stemmed BM25", "dense"


class Set(NamedTuple):
    """A BEIR folder, the language of its texts, and where its runs are kept."""

    folder: Path
    language: str
    work: Path


class Row(NamedTuple):
    """A line of the table: nDCG@10 and the run of each seed, and metrics averaged over seeds."""

    scores: list[dict[str, float]]
    runs: list[dict[str, dict[str, float]]]
    metrics: dict[str, float]
    commits: list[str]


def parts_of(recipe: str) -> dict[str, Any]:
    """The values of params.yaml that a recipe's name stands for, with `DENSE` for a dense model."""
    architecture, *names = recipe.split("+")
    if architecture not in ARCHITECTURES:
        sys.exit(f"{recipe}: must start with {' or '.join(ARCHITECTURES)}")
    values = {"architecture": architecture} | ARCHITECTURES[architecture]
    for part in [name for each in names for name in (ALL if each == "all" else [each])]:
        key, given, value = part.partition("=")
        if not given and part not in PARTS:
            sys.exit(f"{recipe}: {part} must be one of {', '.join(PARTS)}, all, or key=value")
        values |= {key: YAML(typ="safe").load(value)} if given else PARTS[part]
    return values


def needs_dense(recipe: str) -> bool:
    return DENSE in json.dumps(parts_of(recipe))


def overrides(recipe: str, seed: int, of: Set, options: argparse.Namespace) -> dict[str, Any]:
    """The values of params.yaml that make a recipe's run."""
    if needs_dense(recipe) and not options.dense:
        sys.exit(f"{recipe}: needs a dense model; name its folder with --dense")
    values: dict[str, Any] = {
        "profile": "own", "seed": seed, "model.max_seq_length": LENGTH, "tracking.mlflow": False,
        "training.num_train_epochs": round(options.rows / len(training_queries(of)), 2), "training.per_device_train_batch_size": 32,
        "datasets.my-search.path": str(of.folder), "datasets.my-search.language": of.language, "evaluation.sets.my-search.profile": "none",
    }  # fmt: skip
    for split in ("dev", "test"):
        if (of.folder / "qrels" / f"{split}.tsv").exists():
            entry = {"kind": "beir", "path": str(of.folder), "split": split, "language": of.language, "profile": "own"}
            values[f"evaluation.sets.my-{split}"] = entry
    filled: dict[str, Any] = json.loads(json.dumps(values | parts_of(recipe)).replace(DENSE, str(options.dense)))
    return filled


def training_queries(of: Set) -> list[str]:
    """The ids in qrels/train.tsv, one a row."""
    return [line.split("\t")[0] for line in (of.folder / "qrels" / "train.tsv").read_text(encoding="utf-8").splitlines()[1:]]


def train(folder: Path, values: Mapping[str, Any], of: Set) -> None:
    """Run the stages up to train in ``folder``, unless they have run there with these values: its models/final is the model.

    seconds.json has each stage's CPU seconds. Formatted and mined rows, and checkpoints, are shared by the runs of a set.
    """
    asked, final = folder / "overrides.json", folder / "models" / "final"
    if asked.exists() and json.loads(asked.read_text()) != values:
        shutil.rmtree(folder)
    if final.exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    asked.write_text(json.dumps(values, indent=2))
    yaml = YAML()
    params = yaml.load(ROOT / "params.yaml")
    for key, value in values.items():
        *sections, last = key.split(".")
        section = params
        for name in sections:
            section = section[name]
        section[last] = value
    yaml.dump(params, folder / "params.yaml")
    if not (folder / "stages").exists():
        (folder / "stages").symlink_to(ROOT / "stages")
    environment = os.environ | {"NORDIC_SPARSE_ROOT": str(of.work)}
    seconds = {}
    for name, command in stages():
        before = cpu_seconds()
        subprocess.run([sys.executable, *command], cwd=folder, env=environment, check=True, stdout=sys.stderr)
        seconds[name] = cpu_seconds() - before
    (folder / "seconds.json").write_text(json.dumps(seconds))
    for name in ("data", "models"):  # gigabytes of copies
        for path in (folder / name).iterdir():
            if path != final:
                shutil.rmtree(path) if path.is_dir() else path.unlink()


def stages() -> Iterator[tuple[str, list[str]]]:
    """The names and commands of dvc.yaml's stages up to train, without ``python``."""
    for name, stage in YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"].items():
        for item in stage.get("foreach", [""]):
            command = stage.get("do", stage)["cmd"].replace("${item}", str(item))
            yield f"{name} {item}".strip(), command.split()[1:]
        if name == "train":
            return


def cpu_seconds() -> float:
    """Of the processes that this one started and that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def score(folder: Path, retrieval_set: Any, split: str) -> None:
    """Write the folder's <split>.json: nDCG@10 by query, the run and the cost of the model in it."""
    from sentence_transformers import SparseEncoder

    from stages.encoders.fast.model import make_fast
    from stages.evaluate.search_cost import search_cost
    from stages.retrieval.scoring import evaluate
    from stages.retrieval.treatment import Treatment
    from stages.runtime.files import write_json
    from stages.tracking.git import git_state

    final = folder / "models" / "final"
    model = SparseEncoder(str(final), local_files_only=True)
    make_fast(model)
    result = evaluate(model, retrieval_set, treatment=Treatment.read(final))
    metrics = result.metrics | search_cost(result.encoded) | {"seconds": json.loads((folder / "seconds.json").read_text())["train"]}
    git = git_state(ROOT)
    commit = git.get("git_commit", "")[:7] + "*" * (git.get("git_dirty") == "true")
    write_json(folder / f"{split}.json", {"commit": commit, "metrics": metrics, "run": result.run})


def rows_of(recipe: str, of: Set, retrieval_set: Any, options: argparse.Namespace) -> Row | None:
    """The recipe's row, from what is kept, or made first; None if --table finds nothing."""
    kept = []
    for seed in range(42, 42 + options.seeds):
        folder = of.work / f"{recipe.replace('/', '_')} {seed}"
        scored = folder / f"{options.split}.json"
        if not options.table:
            train(folder, overrides(recipe, seed, of, options), of)
            if not scored.exists():
                score(folder, retrieval_set, options.split)
        if scored.exists():
            kept.append(json.loads(scored.read_text()))
    if not kept:
        return None
    metrics = {name: fmean(each["metrics"][name] for each in kept) for name in kept[0]["metrics"]}
    runs = [each["run"] for each in kept]
    return Row([ndcg(run, retrieval_set) for run in runs], runs, metrics, [each["commit"] for each in kept])


def ndcg(run: Mapping[str, Mapping[str, float]], retrieval_set: Any) -> dict[str, float]:
    """nDCG@10 of each query."""
    from stages.retrieval.scores import NDCG, score_by_query

    return {query: scores[NDCG] for query, scores in score_by_query(run, retrieval_set.qrels).items()}


def baselines(of: Set, retrieval_set: Any, dense: Path | None) -> dict[str, Row]:
    """The rows that need no training."""
    from stages.retrieval import bm25
    from stages.retrieval.vectors import Encoded

    runs = {BM25: bm25.retrieve(retrieval_set), STEMMED: bm25.retrieve_stemmed(retrieval_set)}
    costs: dict[str, dict[str, float]] = {}
    if dense:
        import torch

        from stages.evaluate.search_cost import search_cost
        from stages.retrieval.dense import nearest
        from stages.retrieval.scoring import retrieve

        def best_window(queries: torch.Tensor, windows: torch.Tensor) -> torch.Tensor:
            return torch.from_numpy(np.maximum.reduceat((queries @ windows.T).numpy(), starts[:-1], axis=1))

        queries, documents, starts = vectors(of.folder, of.work, dense, LENGTH)
        asked = np.stack([queries[query] for query in retrieval_set.queries])
        runs[DENSE_ROW] = nearest(retrieval_set, torch.from_numpy(asked), [torch.from_numpy(documents)], best_window)
        trained = np.stack([queries[query] for query in training_queries(of) if query in queries])
        code = control(np.concatenate([trained, documents]))
        for k in KS:
            encoded = Encoded(code(asked, k), code(documents, k), starts)
            runs[f"csr control, k {k}"] = retrieve(encoded, retrieval_set)
            costs[f"csr control, k {k}"] = search_cost(encoded)
    return {name: Row([ndcg(run, retrieval_set)], [run], costs.get(name, {}), []) for name, run in runs.items()}


def table(rows: Mapping[str, Row], retrieval_set: Any) -> str:
    """The rows as Markdown."""
    from stages.evaluate.fusion import fuse
    from stages.evaluate.significance import interval, mark, p_value

    def per_query(scores: Sequence[Mapping[str, float]]) -> np.ndarray:
        return np.mean([list(each.values()) for each in scores], axis=0)

    lines = ["| | nDCG@10 (95% interval) | + stemmed BM25 | + dense | query, document dims | postings a query | CPU s | commit |"]
    lines.append("|---" * 8 + "|")
    for name, row in rows.items():
        values, stemmed = per_query(row.scores), per_query(rows[STEMMED].scores)
        low, high = interval([values])
        spread = f" ± {np.std([fmean(each.values()) for each in row.scores], ddof=1):.3f}" if len(row.scores) > 1 else ""
        better = mark(values.mean() - stemmed.mean(), p_value([values - stemmed]) if name != STEMMED else None).strip()
        cells = [f"{values.mean():.3f}{spread} ({low:.3f} to {high:.3f}) {better}".strip()]
        for other in (STEMMED, DENSE_ROW):
            fused = other in rows and name not in (BM25, STEMMED, other)
            cells.append(
                f"{per_query([ndcg(fuse(run, rows[other].runs[0]), retrieval_set) for run in row.runs]).mean():.3f}" if fused else ""
            )
        dims = [f"{row.metrics[key]:.0f}" for key in ("query_active_dims", "corpus_active_dims") if key in row.metrics]
        cells.append(", ".join(dims))
        cells += [f"{row.metrics[key]:.0f}" if key in row.metrics else "" for key in ("query_postings_mean", "seconds")]
        lines.append(f"| {name} | {' | '.join(cells)} | {', '.join(dict.fromkeys(row.commits))} |")
    return "\n".join(lines)


def summary(by_set: Mapping[str, Mapping[str, Row]]) -> str:
    """nDCG@10 of each row on each set, and the mean over sets with its interval."""
    from stages.evaluate.significance import interval

    lines = [f"| nDCG@10 | {' | '.join(by_set)} | mean (95% interval) |", "|---" * (len(by_set) + 2) + "|"]
    for name in dict.fromkeys(name for rows in by_set.values() for name in rows):
        scores = [
            np.mean([list(each.values()) for each in rows[name].scores], axis=0) if name in rows else None for rows in by_set.values()
        ]
        cells = ["" if values is None else f"{values.mean():.3f}" for values in scores]
        known = [values for values in scores if values is not None]
        low, high = interval(known)
        whole = len(known) == len(scores)
        cells.append(f"{np.mean([values.mean() for values in known]):.3f} ({low:.3f} to {high:.3f})" if whole else "")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", metavar="FOLDER[:LANGUAGE]", help="BEIR folders; LANGUAGE: nb (default), nn, da, sv or en")
    parser.add_argument("--recipes", nargs="+", metavar="RECIPE", help=f"default: {' '.join(RECIPES)}")
    parser.add_argument("--split", choices=("dev", "test"), default="dev", help="the queries to score")
    parser.add_argument("--dense", type=lambda path: Path(path).resolve(), help="folder of a dense model")
    parser.add_argument("--rows", type=int, default=10_000, help="training rows that each recipe sees, over all epochs")
    parser.add_argument("--seeds", type=int, default=1, help="from 42 on")
    parser.add_argument("--work", type=Path, default=Path("checkpoints/recipes"))
    parser.add_argument("--table", action="store_true", help="train and score nothing")
    options = parser.parse_args()
    options.recipes = options.recipes or [recipe for recipe in RECIPES if options.dense or not needs_dense(recipe)]
    from stages.retrieval.sets import load_beir

    by_set: dict[str, dict[str, Row]] = {}
    failed = []
    sets = []
    for place in options.folders:
        path, _, language = place.partition(":")
        folder = Path(path).resolve()
        sets.append(Set(folder, language or "nb", (options.work / folder.name).resolve()))
        for recipe in options.recipes:
            overrides(recipe, 42, sets[-1], options)  # a mistake shows now, not after hours
    for of in sets:
        folder = of.folder
        [retrieval_set] = load_beir(folder, folder.name, of.language, options.split)
        rows = baselines(of, retrieval_set, options.dense)
        for recipe in options.recipes:
            try:
                row = rows_of(recipe, of, retrieval_set, options)
            except subprocess.CalledProcessError as error:
                failed.append(f"{folder.name}, {recipe}: {' '.join(error.cmd[1:])} failed")
                continue
            if row:
                rows[recipe] = row
                print(f"{folder.name}, {recipe}: {np.mean([fmean(each.values()) for each in row.scores]):.3f}", file=sys.stderr, flush=True)
        by_set[folder.name] = rows
        print(
            f"\n{folder.name}, {options.split}: {len(retrieval_set.queries)} queries, {len(retrieval_set.corpus)} documents\n", flush=True
        )
        print(table(rows, retrieval_set), flush=True)
    if len(by_set) > 1:
        print(f"\n{summary(by_set)}")
    sys.exit("\n".join(failed) or None)


if __name__ == "__main__":
    main()
