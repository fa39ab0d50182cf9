"""Padding: stock sentence-transformers, our head, and our head with a step's texts in length buckets.

    python benchmarks/padding.py --saving 64 --steps 12

Three made-up sets with the text lengths of the mission (NLI; questions and passages; DDSC), as `mix` makes batches of them.
Padding is counted over all batches; the time is that of a whole training step of SPLADE (forward, loss, backward, AdamW,
float32), over the same sampled batches, in one process: the mean of a step after the first (on CUDA, of all, when every batch was
taken once before), ways in turns. Random weights make every term active, the worst case for ours.
"""

import argparse
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from splade_head import hardware, timed
from training_step import build, prepare

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from stages.train.device import SPLIT_PADDING

SETS = {"nli": [12, 8, 8], "questions": [9, 90], "ddsc": [16, 60, 60]}  # median words of anchor, positive, negative
NAMES = ["anchor", "positive", "negative"]
ROWS, BATCH, PIECES, CAP = 8192, 16, 1.4, 256  # word pieces a word, tokens a text is cut to


@dataclass(frozen=True)
class Way:
    """How a step is made: with ``kind``'s head (`training_step.prepare`), and length buckets of that saving."""

    name: str
    kind: str
    saving: int = 0


def mixed_lengths(folder: Path) -> list[np.ndarray]:
    """Tokens of every text, by batch: arrays of shape (rows, columns), as `mix` forms and orders them."""
    from stages.mix.assembly import Source, mix

    generator = np.random.default_rng(1)
    sources = []
    for name, words in SETS.items():
        lengths = np.maximum(1, generator.lognormal(np.log(words), 0.5, (ROWS, len(words)))).astype(int)
        texts = [[f"{name}{row}.{column} " + "ord " * n for column, n in enumerate(line)] for row, line in enumerate(lengths)]
        columns = {each: [line[i] if i < len(words) else None for line in texts] for i, each in enumerate(NAMES)}
        table = pa.table({**{each: pa.array(values, pa.string()) for each, values in columns.items()}, "source": [name] * ROWS})
        pq.write_table(table.append_column("language", pa.array(["nb"] * ROWS)), folder / f"{name}.parquet")
        sources.append(Source(name, folder / f"{name}.parquet"))
    mix(sources, folder / "mixed", batch_size=BATCH, seed=1)
    rows = pq.read_table(folder / "mixed" / "train.parquet", columns=NAMES).to_pylist()
    tokens = [[min(CAP, 2 + int(PIECES * len(text.split()))) for text in row.values() if text is not None] for row in rows]
    return [np.array(tokens[start : start + BATCH]) for start in range(0, len(tokens), BATCH)]


def padding(batches: list[np.ndarray], saving: int) -> tuple[float, float]:
    """Share of padding among the tokens that a model gets, and tokens a batch; without groups, queries are padded apart."""
    from stages.encoders.fast.length_buckets import split

    real = sum(int(batch.sum()) for batch in batches)
    if saving:
        shapes = [(len(rows), width) for batch in batches for rows, width in split(batch.flatten().tolist(), saving)]
    else:
        shapes = [(column.size, column.max()) for batch in batches for column in (batch[:, :1], batch[:, 1:])]
    padded = sum(rows * width for rows, width in shapes)
    return 1 - real / padded, padded / len(batches)


def seconds(ways: list[Way], batches: list[np.ndarray], options: argparse.Namespace) -> list[float]:
    """Mean time of a step of each way, in turns."""
    layers, hidden, vocabulary = map(int, options.size.split("x"))
    made = []
    for way in ways:
        options.split_padding = way.saving
        made.append(prepare(way.kind, build(layers, hidden, vocabulary, CAP), options))
    generator = torch.Generator().manual_seed(1)
    spent: list[list[float]] = [[] for _ in ways]
    passes = 2 if options.device == "cuda" else 1  # the first meets shapes that CUDA's libraries have not seen
    for batch in batches * passes:
        for (_, loss, optimizer), times in zip(made, spent, strict=True):
            texts = [tokens(batch[:, column], vocabulary, generator) for column in range(batch.shape[1])]
            columns = [{key: value.to(options.device) for key, value in column.items()} for column in texts]
            times.append(timed(partial(step, loss, optimizer, columns, options), options.device)["seconds"])
    return [float(np.mean(times[-len(batches) :] if passes > 1 else times[1:])) for times in spent]


def step(loss: Any, optimizer: torch.optim.Optimizer, columns: list[dict[str, torch.Tensor]], options: argparse.Namespace) -> None:
    with torch.autocast(options.device, torch.bfloat16, enabled=options.autocast):
        total = torch.stack(list(loss(columns, None).values())).sum()
    total.backward()
    optimizer.step()
    optimizer.zero_grad()


def tokens(lengths: np.ndarray, vocabulary: int, generator: torch.Generator) -> dict[str, torch.Tensor]:
    """A padded column of random tokens."""
    mask = (torch.arange(int(lengths.max())) < torch.tensor(lengths)[:, None]).long()
    return {"input_ids": torch.randint(1, vocabulary, mask.shape, generator=generator) * mask, "attention_mask": mask}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--saving", type=int, help="training.split_padding")
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--size", default="2x256x16000", help="layers x hidden x vocabulary")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--autocast", action="store_true", help="in bf16, where autocast takes it")
    parser.set_defaults(gradient_checkpointing=False, triton=False)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    options.saving = SPLIT_PADDING[options.device] if options.saving is None else options.saving
    print(f"{hardware(options.device)}{' --autocast' if options.autocast else ''}; {options.size}, batches of {BATCH}\n")
    with TemporaryDirectory() as folder:
        batches = mixed_lengths(Path(folder))
    ways = [
        Way("stock", "stock"),
        Way("our head", "ours"),
        Way(f"our head, buckets that save {options.saving} tokens", "ours", options.saving),
    ]
    picked = sorted(np.random.default_rng(2).choice(len(batches), options.steps + 1, replace=False))
    times = seconds(ways, [batches[place] for place in picked], options)
    print("| way | padding | tokens a batch | s/step | faster |\n|---|---|---|---|---|")
    for way, spent in zip(ways, times, strict=True):
        share, size = padding(batches, way.saving)
        print(f"| {way.name} | {share:.0%} | {size:.0f} | {spent:.2f} | {times[0] / spent:.2f}x |")


if __name__ == "__main__":
    main()
