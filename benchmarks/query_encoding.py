"""Milliseconds per query: inference-free SPLADE next to SPLADE, on a base-sized encoder.

    python benchmarks/query_encoding.py

The encoder has random weights, which take as long as trained ones: 12 layers, hidden size 768, 30,000 word pieces, as BERT base.
Each model encodes 256 made-up queries of 4 to 12 words by ``encode_query``, in batches of 32; they take turns, and the fastest of
five rounds counts.
"""

import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from data_pipeline import vocabulary
from splade_head import hardware

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
QUERIES, BATCH, ROUNDS = 256, 32, 5
NAMES = {
    "stock": "SPLADE, stock sentence-transformers",
    "ours": "SPLADE, our head",
    "free": "inference-free SPLADE",
}


def main() -> None:
    from stages.config.settings import ResolvedModel
    from stages.encoders.building import ENCODERS
    from stages.encoders.fast.model import make_fast
    from stages.make_base.lexical import make_base

    generator = np.random.default_rng(0)
    words = np.array(vocabulary(generator).to_pylist())
    queries = [" ".join(generator.choice(words, generator.integers(4, 13))) for _ in range(QUERIES)]
    with TemporaryDirectory() as folder:
        base = Path(folder)
        shape = {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "max_seq_length": 256}
        make_base(lambda: words.tolist(), words.tolist(), base, vocab_size=30_000, seed=0, **shape)
        splade, free = ENCODERS["splade"], ENCODERS["inference-free-splade"]
        section = ResolvedModel(base_model="made", max_seq_length=256)
        models = {
            "stock": splade.build(base, section, []),
            "ours": splade.build(base, section, []),
            "free": free.build(base, section, queries),
        }
    make_fast(models["ours"])
    fastest = dict.fromkeys(models, float("inf"))
    for _ in range(ROUNDS):
        for name, model in models.items():
            start = time.perf_counter()
            model.encode_query(queries, batch_size=BATCH)
            fastest[name] = min(fastest[name], time.perf_counter() - start)
    print(f"{hardware('cpu')}\n\n| encoder | ms a query | × inference-free |\n|---|---|---|")
    for name, seconds in fastest.items():
        print(f"| {NAMES[name]} | {1000 * seconds / QUERIES:.2f} | {seconds / fastest['free']:.0f} |")


if __name__ == "__main__":
    main()
