"""A whole training step of SPLADE, stock next to ours: encoder, head, loss, backward, AdamW; and the loss curves of both.

    python benchmarks/training_step.py --size 12x768x50000x16x256 --steps 3

Random BERT models in float32 with dropout, SpladeLoss over two columns whose lengths are uniform from a quarter to full;
the same batches for both. Ours encodes in length buckets. Each runs in its own process; the
time is that of the fastest step after the first (on CUDA, the median). Random weights make every term active, the worst case
for ours. Memory is the peak resident set of the process (on CUDA: of torch's allocated memory), model and optimiser included.
The loss curves are those of the smallest size in float32, without dropout, whose masks would differ, and with few terms active:
with all of them the loss is so large that stock on one thread and stock on two differ by 3e-3.
"""

import argparse
import json
import sys
from functools import partial
from pathlib import Path
from signal import SIGKILL
from subprocess import PIPE, run
from tempfile import TemporaryDirectory
from typing import Any

import torch
from splade_head import add_ways, hardware, maxima, peak_megabytes, start_peak, timed, typical, ways

SIZES = ["2x128x8000x16x64", "12x768x50000x16x256", "12x768x250000x8x128"]  # layers × hidden × vocabulary × batch × length
CURVE, CURVE_STEPS, CURVE_BIAS = SIZES[0], 100, -0.4


def measure(kind: str, size: str, options: argparse.Namespace) -> dict[str, Any]:
    """`take_steps` with a new model."""
    layers, hidden, vocabulary, _, length = map(int, size.split("x"))
    return take_steps(kind, build(layers, hidden, vocabulary, length, options.dropout, options.bias), size, options)


def take_steps(kind: str, model: Any, size: str, options: argparse.Namespace) -> dict[str, Any]:
    """Wall and processor seconds of a step after the first (`typical`), peak MB and the losses of every step."""
    device = options.device
    _, _, vocabulary, batch, length = map(int, size.split("x"))
    model, loss, optimizer = prepare(kind, model, options)
    generator = torch.Generator().manual_seed(1)
    torch.manual_seed(2)
    start_peak(device)
    losses: list[float] = []

    def step(columns: list[dict[str, torch.Tensor]]) -> None:
        with torch.autocast(device, torch.bfloat16, enabled=options.autocast):
            terms = loss(columns, None)
            total = torch.stack(list(terms.values())).sum()
        total.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(total.item())

    results = []
    for _ in range(options.steps):
        columns = [{k: v.to(device) for k, v in column(batch, length, vocabulary, generator).items()} for _ in range(2)]
        results.append(timed(partial(step, columns), device))
    return typical(results[1:] or results, device) | {"megabytes": peak_megabytes(device), "losses": losses}


def prepare(kind: str, model: Any, options: argparse.Namespace) -> tuple[Any, Any, torch.optim.Optimizer]:
    """The model on its device, of our modules if ``kind`` is ours; SPLADE's loss; AdamW."""
    model.to(options.device).train()
    if options.gradient_checkpointing:
        model[0].model.activation_checkpointing_enable()
    else:
        model[0].model.activation_checkpointing_disable()
    model, loss = made(kind, model, options)
    return model, loss, torch.optim.AdamW(model.parameters(), lr=2e-5, fused=True)  # the default of transformers


def made(kind: str, model: Any, options: argparse.Namespace) -> tuple[Any, Any]:
    """The model and its loss: of our modules and in length buckets if ``kind`` is ours, else a stock copy that shares the weights."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from sentence_transformers.sparse_encoder.losses import SparseMultipleNegativesRankingLoss, SpladeLoss

    from stages.encoders.fast.loss import OnePassSpladeLoss
    from stages.encoders.fast.model import make_fast, stock
    from stages.train.device import SPLIT_PADDING

    saving = SPLIT_PADDING[options.device] if options.split_padding is None else options.split_padding
    if kind == "ours":
        notes = make_fast(model, maxima(options.triton), saving)
        assert not notes, notes
    else:
        model = stock(model)
    loss = OnePassSpladeLoss if kind == "ours" and saving else SpladeLoss
    return model, loss(model, SparseMultipleNegativesRankingLoss(model), 1e-4, 1e-4)


def build(layers: int, hidden: int, vocabulary: int, length: int, dropout: float = 0.1, bias: float = 0.0) -> Any:
    """A SparseEncoder on a random BERT, ``bias`` that of every term."""
    from sentence_transformers import SparseEncoder
    from sentence_transformers.base.modules import Transformer
    from sentence_transformers.sparse_encoder.modules import SpladePooling
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import BertConfig, BertForMaskedLM, PreTrainedTokenizerFast

    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=vocabulary,
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=max(1, hidden // 64),
        intermediate_size=4 * hidden,
        max_position_embeddings=max(length, 64),
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
    )
    tokenizer = Tokenizer(models.WordLevel({"[PAD]": 0, "[UNK]": 1}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    with TemporaryDirectory() as folder:
        model = BertForMaskedLM(config)
        torch.nn.init.constant_(model.get_output_embeddings().bias, bias)
        model.save_pretrained(folder)
        PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]").save_pretrained(folder)
        transformer = Transformer(folder, transformer_task="fill-mask")
    return SparseEncoder(modules=[transformer, SpladePooling("max")], device="cpu")


def column(batch: int, length: int, vocabulary: int, generator: torch.Generator) -> dict[str, torch.Tensor]:
    """One column of a batch of random tokens."""
    lengths = torch.randint(length // 4, length + 1, (batch,), generator=generator)
    mask = (torch.arange(int(lengths.max())) < lengths[:, None]).long()
    ids = torch.randint(1, vocabulary, mask.shape, generator=generator) * mask
    return {"input_ids": ids, "attention_mask": mask}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", nargs="+", default=SIZES, help="layers x hidden x vocabulary x batch x length")
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--dropout", type=float, default=0.1)
    parser.add_argument("--bias", type=float, default=0.0, help="of every term; 0 makes all active")
    parser.add_argument("--split-padding", type=int, help="training.split_padding")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--gradient-checkpointing", action="store_true")
    add_ways(parser)
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.measure:
        print(json.dumps(measure(options.measure, options.size[0], options)))
        return
    print(f"{hardware(options.device)}{' '.join(['', *ways(options)])}\n")
    columns = ["layers x hidden x vocabulary x batch x length"]
    columns += [f"{kind} {what}" for what in ("s", "texts/s", "core s", "MB") for kind in ("stock", "ours")]
    columns += ["faster"]
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}", flush=True)
    for size in options.size:
        results = {kind: in_own_process(kind, size, options) for kind in ("stock", "ours")}
        print(f"| {' | '.join(row(size, results))} |", flush=True)
    options.steps, options.dropout, options.bias, options.autocast = CURVE_STEPS, 0.0, CURVE_BIAS, False
    stock, ours = (result["losses"] for kind in ("stock", "ours") if (result := in_own_process(kind, CURVE, options)))
    difference = max(abs(a - b) for a, b in zip(stock, ours, strict=True))
    print(f"\nLoss over {CURVE_STEPS} steps of {CURVE}: {stock[0]:.4f} to {stock[-1]:.4f}; largest difference {difference:.1e}")


def in_own_process(kind: str, size: str, options: argparse.Namespace) -> dict[str, Any] | None:
    """What `measure` returns there; None if the process was killed, which is how Linux ends one that takes too much memory."""
    command = [sys.executable, __file__, "--measure", kind, "--size", size, f"--steps={options.steps}"]
    command += [f"--dropout={options.dropout}", f"--bias={options.bias}"]
    command += ["--device", options.device, "--threads", str(options.threads), *ways(options)]
    command += ["--gradient-checkpointing"] if options.gradient_checkpointing else []
    command += [] if options.split_padding is None else [f"--split-padding={options.split_padding}"]
    process = run(command, stdout=PIPE, text=True)
    if process.returncode == -SIGKILL:
        return None
    process.check_returncode()
    result: dict[str, Any] = json.loads(process.stdout.splitlines()[-1])
    return result


def row(size: str, results: dict[str, dict[str, Any] | None]) -> list[str]:
    """Cells of the table."""
    texts = 2 * int(size.split("x")[3])
    both = [result or {} for result in results.values()]
    cells = [size]
    for number, form in (("seconds", ".3g"), ("texts", ".1f"), ("processor", ".1f"), ("megabytes", ".0f")):
        values = [texts / r["seconds"] if r and number == "texts" else r.get(number) for r in both]
        cells += ["killed" if value is None else f"{value:{form}}" for value in values]
    stock, ours = both
    return [*cells, f"{stock['seconds'] / ours['seconds']:.2f}x" if stock and ours else "–"]


if __name__ == "__main__":
    main()
