"""The encoders side by side on BEIR folders: nDCG@10, active dimensions, seconds to train, milliseconds per query, over several seeds.

    python benchmarks/encoders.py FOLDER … --seeds 3 --epochs 3      # nDCG@10: mean ± standard deviation (first seed)

Every encoder gets the same rows in the same batches and a base made from them, lexical (csr: dense, or the folder `--dense-base`). The
set's train qrels train, its test qrels score, over the whole corpus. csr is trained with k = 128; its nDCG@10 at 64 and at 256 active
dimensions is reported as a share of its dense base's. That base is frozen: here it embeds each training text once, for all runs of csr, so
that only the first one's seconds to train hold it. Beside ours:

- untrained: SPLADE on the base as it is made.
- naive: inference-free SPLADE as an often-read article set it up, and failed: all query weights 1 and trained at 2e-5, a query
  regulariser, document weight 3e-5. Scored by encode_query, and by encode, which takes the document route for queries (naive, encode).
"""

import argparse
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from splade_head import hardware

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
ENCODERS = ("bm25", "untrained", "splade", "inference-free-splade", "csr-128", "naive")
BATCH, VOCABULARY, HIDDEN = 32, 8000, 128


def prepare(folder: Path, work: Path, length: int) -> tuple[Any, Any]:
    """Training rows and retrieval set of a BEIR folder; the bases are made in ``work``."""
    from stages.format.cleaning import format_set
    from stages.format.sources.beir import read
    from stages.format.sources.chunk import Options
    from stages.format.sources.folder import RawFolder
    from stages.make_base.dense import make_dense
    from stages.make_base.lexical import make_base
    from stages.mix.assembly import Source, mix
    from stages.mix.selection import EvaluationTexts
    from stages.retrieval.sets import load_beir
    from stages.rows.parquet import texts
    from stages.train.data import open_rows

    retrieval_set = load_beir(folder, folder.name)
    options = Options(language="da", split="train")
    format_set(folder.name, lambda split: read(RawFolder(folder), split, options), work / "formatted")
    source = Source(folder.name, work / "formatted" / "train.parquet")
    mix([source], work / "mixed", batch_size=BATCH, seed=42, evaluation=EvaluationTexts(list(retrieval_set.queries.values()), [], []))
    mixed = work / "mixed" / "train.parquet"
    rows = open_rows(mixed, work / "rows.arrow")
    shape = {"vocab_size": VOCABULARY, "num_hidden_layers": 2, "num_attention_heads": 4, "max_seq_length": length, "seed": 42}
    make_base(lambda: texts(mixed), texts(mixed, ["positive"]), work / "lexical", hidden_size=HIDDEN, **shape)
    make_dense(work / "lexical", texts(mixed, ["positive"]), work / "dense", seed=42)
    return rows, retrieval_set


@contextmanager
def remembering(model: Any, vectors: dict[bytes, torch.Tensor]) -> Iterator[None]:
    """While it lasts, a dense base of transformer and pooling computes only vectors of tokens that are not in ``vectors`` yet."""
    transformer, pooling = model[0], model[1]
    of_transformer, of_pooling = type(transformer), type(pooling)

    class Remembering(of_transformer):  # type: ignore[valid-type,misc]
        def forward(self, features: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
            masks = features["attention_mask"].bool()
            keys = [ids[mask].numpy().tobytes() for ids, mask in zip(features["input_ids"], masks, strict=True)]
            if not all(key in vectors for key in keys):
                with torch.no_grad():
                    pooled = of_pooling.forward(pooling, super().forward(dict(features), **kwargs))
                vectors.update(zip(keys, pooled["sentence_embedding"], strict=True))
            return features | {"sentence_embedding": torch.stack([vectors[key] for key in keys])}

    class Pooled(of_pooling):  # type: ignore[valid-type,misc]
        def forward(self, features: dict[str, Any]) -> dict[str, Any]:
            return features

    transformer.__class__, pooling.__class__ = Remembering, Pooled
    try:
        yield
    finally:
        transformer.__class__, pooling.__class__ = of_transformer, of_pooling


def run(
    name: str, seed: int, settings: argparse.Namespace, rows: Any, retrieval_set: Any, work: Path, vectors: dict[bytes, torch.Tensor]
) -> dict[str, dict[str, float]]:
    """Metrics by the name of the row in the table; ``vectors`` of the dense base, by their tokens, are kept for the runs to come."""
    from sentence_transformers.base.modules import Transformer
    from transformers import set_seed

    from stages.config.schema import Loss, Training
    from stages.config.settings import ResolvedModel
    from stages.encoders.building import ENCODERS
    from stages.encoders.fast.model import make_fast
    from stages.evaluate.sparsifying import sparsifying_cost
    from stages.retrieval.scores import DENSE_NDCG, NDCG, score
    from stages.retrieval.scoring import evaluate
    from stages.train.trainer import train

    architecture, _, k = {"untrained": "splade", "naive": "inference-free-splade"}.get(name, name).replace("csr-", "csr ").partition(" ")
    section = ResolvedModel(base_model="made", max_seq_length=settings.length, hidden_dim=4096, k=int(k or 128), k_aux=256, whitening=0.5)
    weights = Loss(
        query_regularizer_weight=1e-3, document_regularizer_weight=3e-5 if name == "naive" else 1e-3,
        auxiliary_weight=0.1, contrastive_weight=3.0, similarity_weight=3.0,
    )  # fmt: skip
    encoder = ENCODERS[architecture]
    set_seed(seed)
    documents, queries = (row["positive"] for row in rows.texts), (row["anchor"] for row in rows.texts)
    base = (settings.dense_base or work / "dense") if architecture == "csr" else work / "lexical"
    model = encoder.build(base, section, documents, queries)
    make_fast(model)
    loss = encoder.make_loss(model, weights)
    if name == "naive":
        loss.query_regularizer_weight = 5e-5
        with torch.no_grad():
            next(weight for key, weight in model.named_parameters() if "query" in key).fill_(1.0)
    training = Training(
        num_train_epochs=settings.epochs, max_steps=None, per_device_train_batch_size=BATCH, gradient_accumulation_steps=1,
        learning_rate=1e-3, query_learning_rate=2e-5 if name == "naive" else 1e-2, warmup_ratio=0.1, weight_decay=0.01, max_grad_norm=1.0,
        gradient_checkpointing=False, logging_steps=50, save_steps=10**6, save_total_limit=1, resume=False, device="cpu",
        dataloader_pin_memory=False, bf16=False, fp16=False,
    )  # fmt: skip
    start = time.perf_counter()
    if name != "untrained":
        with remembering(model, vectors) if isinstance(model[0], Transformer) and architecture == "csr" else nullcontext():
            train(model, loss, encoder, rows, training, seed=seed, checkpoints=work / "checkpoints", resume_from=None)
    seconds = time.perf_counter() - start
    model.eval()

    def scored(scored_model: Any) -> dict[str, float]:
        return evaluate(scored_model, retrieval_set).metrics | {"seconds": seconds, "query_ms": query_milliseconds(model, retrieval_set)}

    results = {name: scored(model)}
    if architecture == "csr":
        cost, run = sparsifying_cost(model, retrieval_set, [64, 256])
        results[name] |= cost | {DENSE_NDCG: score(run, retrieval_set.qrels)[NDCG]}
    if name == "naive":
        model.encode_query = model.encode  # the mistake
        results["naive, encode"] = scored(model)
    return results


def query_milliseconds(model: Any, retrieval_set: Any) -> float:
    """The fastest of five encodings of 256 queries in batches of 32, a query."""
    queries = list(retrieval_set.queries.values())[:256]

    def once() -> float:
        start = time.perf_counter()
        model.encode_query(queries, batch_size=32)
        return time.perf_counter() - start

    return min(once() for _ in range(5)) / len(queries) * 1000


def bm25(retrieval_set: Any) -> dict[str, float]:
    from stages.retrieval.bm25 import retrieve
    from stages.retrieval.scores import score

    return score(retrieve(retrieval_set), retrieval_set.qrels)


def line(name: str, runs: list[dict[str, float]]) -> str:
    def cell(key: str, form: str) -> str:
        values = [each[key] for each in runs if key in each]
        if not values:
            return "–"
        spread = f" ± {statistics.stdev(values):{form}} ({values[0]:{form}})" if len(values) > 1 and key == "ndcg@10" else ""
        return f"{statistics.mean(values):{form}}{spread}"

    cells = [
        cell("ndcg@10", ".3f"),
        cell("query_active_dims", ".0f"),
        cell("corpus_active_dims", ".0f"),
        cell("query_ms", ".2f"),
        cell("seconds", ".0f"),
    ]
    if "dense_ndcg@10" in runs[0]:
        shares = [statistics.mean(each[f"ndcg@10_at_{k}_dims"] / each["dense_ndcg@10"] for each in runs) for k in (64, 256)]
        kept = f"{shares[0]:.1%} at 64 dims, {shares[1]:.1%} at 256"
        cells[0] += f" (of dense {cell('dense_ndcg@10', '.3f')}: {kept}; dead {cell('dead_latents', '.1%')})"
    return f"| {name} | {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--encoders", nargs="+", default=list(ENCODERS), choices=ENCODERS)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=float, default=3)
    parser.add_argument("--dense-base", type=Path, help="folder of csr's dense base; without it one is made")
    parser.add_argument("--length", type=int, default=160, help="tokens that a text is cut to")
    options = parser.parse_args()
    print(f"{hardware('cpu')}\n")
    for folder in options.folders:
        with TemporaryDirectory() as scratch:
            work = Path(scratch)
            rows, retrieval_set = prepare(folder, work, options.length)
            sizes = f"{len(rows.texts)} training rows, {len(retrieval_set.queries)} queries, {len(retrieval_set.corpus)} documents"
            print(f"\n{folder.name}: {sizes}, {options.epochs:g} epochs, {options.seeds} seeds\n")
            vectors: dict[bytes, torch.Tensor] = {}
            print("| encoder | nDCG@10 | query dims | document dims | ms a query | s to train |\n|---|---|---|---|---|---|", flush=True)
            for name in options.encoders:
                if name == "bm25":
                    print(line(name, [bm25(retrieval_set)]), flush=True)
                    continue
                seeds = range(42, 42 + (1 if name == "untrained" else options.seeds))
                runs = [run(name, seed, options, rows, retrieval_set, work, vectors) for seed in seeds]
                for row in runs[0]:
                    print(line(row, [each[row] for each in runs]), flush=True)


if __name__ == "__main__":
    main()
