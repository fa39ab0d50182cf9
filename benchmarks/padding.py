"""Padding: rows as they come beside rows of like lengths (`mix.length_window`), stock sentence-transformers beside ours.

    python benchmarks/padding.py --window 8 --steps 12

Three made-up sets with the text lengths of the mission (NLI; questions and passages; DDSC), as `mix` makes batches of them,
with and without windows. Padding is counted over all batches; the time is that of a whole training step of SPLADE (forward,
loss, backward, AdamW, float32), over the same sampled batches for stock and ours, in one process: the mean of a step after
the first, batches in turns. Random weights make every term active, the worst case for ours.
"""

import argparse
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from splade_head import hardware
from training_step import build

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
SETS = {"nli": [12, 8, 8], "questions": [9, 90], "ddsc": [16, 60, 60]}  # median words of anchor, positive, negative
NAMES = ["anchor", "positive", "negative"]
ROWS, BATCH, PIECES, CAP = 8192, 16, 1.4, 256  # word pieces a word, tokens a text is cut to


def mixed_lengths(folder: Path, window: int | None) -> list[np.ndarray]:
    """Tokens of every text, by batch: arrays of shape (rows, columns), as `mix` forms and orders them."""
    from stages.mixing import Source, mix

    generator = np.random.default_rng(1)
    sources = []
    for name, words in SETS.items():
        lengths = np.maximum(1, generator.lognormal(np.log(words), 0.5, (ROWS, len(words)))).astype(int)
        texts = [[f"{name}{row}.{column} " + "ord " * n for column, n in enumerate(line)] for row, line in enumerate(lengths)]
        columns = {each: [line[i] if i < len(words) else None for line in texts] for i, each in enumerate(NAMES)}
        table = pa.table({**{each: pa.array(values, pa.string()) for each, values in columns.items()}, "source": [name] * ROWS})
        pq.write_table(table.append_column("language", pa.array(["nb"] * ROWS)), folder / f"{name}.parquet")
        sources.append(Source(name, folder / f"{name}.parquet"))
    mix(sources, folder / "mixed", batch_size=BATCH, seed=1, length_window=window)
    rows = pq.read_table(folder / "mixed" / "train.parquet", columns=NAMES).to_pylist()
    tokens = [[min(CAP, 2 + int(PIECES * len(text.split()))) for text in row.values() if text is not None] for row in rows]
    return [np.array(tokens[start : start + BATCH]) for start in range(0, len(tokens), BATCH)]


def padding(batches: list[np.ndarray]) -> tuple[float, float]:
    """Share of padding among the tokens that a model gets, and tokens a batch; queries and documents are padded apart."""
    real = sum(int(batch.sum()) for batch in batches)
    padded = sum(len(batch) * (batch[:, 0].max() + (batch.shape[1] - 1) * batch[:, 1:].max()) for batch in batches)
    return 1 - real / padded, padded / len(batches)


def seconds(kinds: dict[str, list[np.ndarray]], ours: bool, layers: int, hidden: int, vocabulary: int) -> dict[str, float]:
    """Mean time of a step on the batches of each kind."""
    from sentence_transformers.sparse_encoder.losses import SparseMultipleNegativesRankingLoss, SpladeLoss

    from stages.encoders.splade_head import attach

    model = build(layers, hidden, vocabulary, CAP)
    if ours:
        [placement] = attach(model)
        assert placement.fused, placement.reason
    loss = SpladeLoss(model, SparseMultipleNegativesRankingLoss(model), 1e-4, 1e-4)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-5)
    generator = torch.Generator().manual_seed(1)
    model.train()
    spent: dict[str, list[float]] = {kind: [] for kind in kinds}
    for turn in zip(*kinds.values(), strict=True):
        for kind, batch in zip(kinds, turn, strict=True):
            columns = [tokens(batch[:, column], vocabulary, generator) for column in range(batch.shape[1])]
            started = time.perf_counter()
            torch.stack(list(loss(columns, None).values())).sum().backward()
            optimizer.step()
            optimizer.zero_grad()
            spent[kind].append(time.perf_counter() - started)
    return {kind: float(np.mean(times[1:])) for kind, times in spent.items()}


def tokens(lengths: np.ndarray, vocabulary: int, generator: torch.Generator) -> dict[str, torch.Tensor]:
    """A padded column of random tokens."""
    mask = (torch.arange(int(lengths.max())) < torch.tensor(lengths)[:, None]).long()
    return {"input_ids": torch.randint(1, vocabulary, mask.shape, generator=generator) * mask, "attention_mask": mask}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--window", type=int, default=8, help="mix.length_window")
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--size", default="2x256x16000", help="layers x hidden x vocabulary")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(f"{hardware('cpu')}; {options.size}, batches of {BATCH}\n")
    kinds: dict[str, Any] = {}
    for kind, window in (("any lengths", None), (f"length_window {options.window}", options.window)):
        with TemporaryDirectory() as folder:
            kinds[kind] = mixed_lengths(Path(folder), window)
    picked = np.random.default_rng(2).choice(min(map(len, kinds.values())), options.steps + 1, replace=False)
    chosen = {kind: [batches[place] for place in sorted(picked)] for kind, batches in kinds.items()}
    times = {way: seconds(chosen, way == "ours", *map(int, options.size.split("x"))) for way in ("stock", "ours")}
    reference = times["stock"]["any lengths"]
    print("| batches | padding | tokens a batch | stock s/step | ours s/step | ours faster than stock with any lengths |")
    print(f"|{'---|' * 6}")
    for kind, batches in kinds.items():
        share, size = padding(batches)
        stock, ours = times["stock"][kind], times["ours"][kind]
        print(f"| {kind} | {share:.0%} | {size:.0f} | {stock:.2f} | {ours:.2f} | {reference / ours:.2f}x |")


if __name__ == "__main__":
    main()
