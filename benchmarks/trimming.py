"""What model.trim_vocabulary gains and loses: tokens left, longer texts of another domain, seconds and memory of a training step.

    python benchmarks/trimming.py TOKENIZER FOLDER … --other texts.txt --size 12x768x8x128 12x384x8x128

Kept are the tokens that the queries and documents of the BEIR folders have at least 1, 2 or 5 times; the texts of the folders
themselves must be split as before at 1. --other holds a text a line, of another domain: the share of further tokens that they are split
into. Steps are ours of training_step.py on random BERT models: with random weights, every term active, which is the worst case.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from splade_head import add_ways, hardware
from tokenizers import Tokenizer
from training_step import in_own_process

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))


def texts(folder: Path) -> Iterator[str]:
    """The queries and documents of a BEIR folder."""
    for name in ("queries.jsonl", "corpus.jsonl"):
        with (folder / name).open(encoding="utf-8") as lines:
            yield from (" ".join(filter(None, (entry.get("title"), entry["text"]))) for entry in map(json.loads, lines))


def length(tokenizer: Tokenizer, of: list[str]) -> int:
    return sum(map(len, tokenizer.encode_batch_fast(of, add_special_tokens=False)))


def main() -> None:
    from stages.make_base.pieces import kept_tokens, without
    from stages.make_base.trimming import count_tokens

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tokenizer", type=Path, help="folder with a tokenizer.json")
    parser.add_argument("folders", type=Path, nargs="+", help="BEIR folders")
    parser.add_argument("--other", type=Path, help="a text a line")
    parser.add_argument("--smallest-count", type=int, nargs="+", default=[1, 2, 5], help="beside the whole vocabulary")
    parser.add_argument("--size", nargs="*", default=[], help="layers x hidden x batch x length")
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    add_ways(parser)
    options = parser.parse_args(namespace=argparse.Namespace(dropout=0.1, bias=0.0, split_padding=None, gradient_checkpointing=False))

    whole = Tokenizer.from_file(str(options.tokenizer / "tokenizer.json"))
    content = json.loads(whole.to_str())
    training = [text for folder in options.folders for text in texts(folder)]
    other = options.other.read_text(encoding="utf-8").splitlines() if options.other else []
    counts = count_tokens(whole, training, whole.get_vocab_size())
    print(f"{hardware(options.device)}\n{len(training):,} texts of {counts.sum():,} tokens; {len(other):,} of another domain\n")
    steps = [f"{size} {what}" for size in options.size for what in ("s", "core s", "MB", "less core s")]
    print(f"| smallest count | tokens | longer texts | of another domain | {' | '.join(steps)} |\n|{'---|' * (4 + len(steps))}", flush=True)
    first: dict[str, dict[str, Any] | None] = {}
    lengths = [length(whole, each) for each in (training, other)]
    for least in [0, *options.smallest_count]:
        trimmed = without(content, kept_tokens(content, (counts >= least).nonzero()[0].tolist()))
        tokenizer = Tokenizer.from_str(json.dumps(trimmed))
        cells = [str(least or "–"), f"{tokenizer.get_vocab_size():,}"]
        longer = zip((training, other), lengths, strict=True)
        cells += [f"{length(tokenizer, each) / before - 1:.1%}" if least and before else "–" for each, before in longer]
        for size in options.size:
            layers, hidden, *batch = size.split("x")
            result = in_own_process("ours", "x".join([layers, hidden, str(tokenizer.get_vocab_size()), *batch]), options)
            base = first.setdefault(size, result)
            cells += [f"{result[key]:.3g}" for key in ("seconds", "processor")] if result else ["killed", "killed"]
            cells += [f"{result['megabytes']:.0f}" if result else "killed"]
            cells += [f"{base['processor'] / result['processor']:.1f}x" if base and result else "–"]
        print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
