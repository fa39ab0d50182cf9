"""Whether training on a GPU ends where training on CPU does: the sample through the pipeline's stages, and every encoder for a few steps.

Each function yields the rows of one of `run.py`'s tables, with ``passes``.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from checks import Row, against, matmul
from splade_head import maxima as torch_or_triton

ROOT = Path(__file__).resolve().parents[2]


def sample(device: str, smoke: bool) -> Iterator[Row]:
    """The pipeline's training and evaluation of the sample, on the data that `dvc repro` left here, beside the recorded CPU run."""
    expected = json.loads((ROOT / "metrics" / "summary.json").read_text())["ndcg@10"]
    for bf16 in (False, True) if device == "cuda" else (False,):
        with TemporaryDirectory() as folder:
            row = _pipeline(Path(folder), device, bf16, max_steps=4 if smoke else None)
        passes = {} if smoke else {"limit": 0.02, "passes": row["nDCG@10"] >= expected - 0.02}
        yield {"precision": "bf16" if bf16 else "float32", "recorded nDCG@10": expected, **row, **passes}


def _pipeline(work: Path, device: str, bf16: bool, max_steps: int | None) -> Row:
    """Scores and seconds of `stages.train` and `stages.evaluate` in the folder ``work``."""
    from ruamel.yaml import YAML

    (work / "stages").symlink_to(ROOT / "stages")
    for name in ("data/mixed", "data/eval", "models/made", "metrics", "resolved"):
        shutil.copytree(ROOT / name, work / name)
    changes: dict[str, Row] = {
        "train": {"training": {"device": device, "bf16": bf16, "max_steps": max_steps}},
        "running/train": {"tracking": {"mlflow": False}},
        "running/evaluate": {"device": device},
    }
    yaml = YAML(typ="safe", pure=True)
    for name, sections in changes.items():
        path = work / "resolved" / f"{name}.yaml"
        values = yaml.load(path)
        for key, value in sections.items():
            values[key] = values[key] | value if isinstance(value, dict) else value
        yaml.dump(values, path)
    trained = yaml.load(work / "resolved" / "train.yaml")
    assert trained["architecture"] == "splade" and trained["model"]["base_model"] == "made", "reproduce the sample with splade first"
    row: Row = {}
    for stage in ("train", "evaluate"):
        began = time.monotonic()
        command = [sys.executable, "-m", f"stages.{stage}"]
        environment = {**os.environ, "NORDIC_SPARSE_ROOT": str(work), "HF_HUB_OFFLINE": "1"}
        done = subprocess.run(command, cwd=work, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        print(done.stdout, flush=True)
        if done.returncode:
            raise RuntimeError(f"{stage} ended with {done.returncode}: {done.stdout[-500:]}")
        row[f"{stage} s"] = time.monotonic() - began
        if lines := [line for line in done.stdout.splitlines() if line.startswith("training on ")]:
            row["engine"] = lines[0]
    scores = json.loads((work / "metrics" / "summary.json").read_text())
    names = {"nDCG@10": "ndcg@10", "BM25": "bm25", "query dims": "query_dims", "document dims": "corpus_dims"}
    return {name: scores[key] for name, key in names.items()} | row


def trainer(device: str, smoke: bool) -> Iterator[Row]:
    """30 training steps of every encoder beside the same on CPU: with the stock head, ours, from a checkpoint."""
    with TemporaryDirectory() as folder:
        run = _training(Path(folder), 6 if smoke else 30)
        expected = {each: run("cpu", each, fused=False)[0] for each in ("splade", "inference-free-splade", "csr")}
        splade: dict[str, Row] = {"stock head": {"fused": False}, "": {}, "from its checkpoint": {"resume": True}}
        splade["Triton"] = {"triton": True}
        others: dict[str, Row] = {"": {}}
        for precision, limit in (("float32", 1e-3), ("bf16", 2e-2)):  # float32 first: a trainer leaves TF32 and more behind in a process
            for architecture in expected:
                for way, arguments in (splade if architecture == "splade" else others).items():
                    with matmul("none"):  # as the trainer sets it for all of torch
                        losses, fallbacks = run(device, architecture, **arguments, bf16=precision == "bf16")
                        tf32 = torch.backends.cuda.matmul.fp32_precision == "tf32"
                    row = {"encoder": architecture, "way": ", ".join(filter(None, [precision, way])), "TF32": tf32}
                    yield row | against(losses, expected[architecture], limit) | ({"without": fallbacks} if fallbacks else {})


def _training(work: Path, steps: int) -> Callable[..., tuple[list[float], str]]:
    """A training on made-up texts; a call gives the losses, step by step, and what the device does not have of what was asked for."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    from stages.config.schema import Loss, Training
    from stages.config.settings import ResolvedModel
    from stages.encoders.building import ENCODERS
    from stages.encoders.fast.model import make_fast
    from stages.make_base.dense import make_dense
    from stages.make_base.lexical import make_base
    from stages.mix.assembly import Source, mix
    from stages.train.data import open_rows
    from stages.train.device import choose_engine
    from stages.train.trainer import train

    generator = np.random.default_rng(0)
    starts, middles = ("ba", "de", "fi", "ku"), ("nor", "sel", "tim")
    words = np.array([f"{start}{middle}{end}" for start in starts for middle in middles for end in "aeiouyæøå"])

    def sentences(lengths: Sequence[int]) -> list[str]:
        return [" ".join(generator.choice(words, length)) for length in lengths]

    number = 16 * steps
    positives = sentences(generator.integers(5, 60, number))
    anchors = [" ".join(text.split()[:4]) for text in positives]
    columns = {"anchor": anchors, "positive": positives, "source": ["made"] * number, "language": ["nb"] * number}
    pq.write_table(pa.table(columns), work / "made.parquet")
    mix([Source("made", work / "made.parquet")], work / "mixed", batch_size=16, seed=1)
    mixed = work / "mixed" / "train.parquet"
    rows = open_rows(mixed, work / "rows.arrow")
    shape = {"vocab_size": 600, "hidden_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4, "max_seq_length": 128, "seed": 1}
    make_base(lambda: anchors + positives, positives, work / "lexical", **shape)
    make_dense(work / "lexical", positives, work / "dense", seed=1, dimension=64)
    for file in (work / "lexical").glob("config.json"):  # other masks of dropout would hide what is compared
        file.write_text(file.read_text().replace('dropout_prob": 0.1', 'dropout_prob": 0.0'))

    def run(
        device: str, architecture: str, fused: bool = True, triton: bool = False, bf16: bool = False, resume: bool = False
    ) -> tuple[list[float], str]:
        section = ResolvedModel(base_model="made", max_seq_length=128, hidden_dim=512, k=32, k_aux=64, whitening=0.0)
        weights = {"query_regularizer_weight": 1e-3, "document_regularizer_weight": 1e-3}
        weights |= {"auxiliary_weight": 0.1, "contrastive_weight": 1.0, "similarity_weight": 0.0}
        wanted = Training(
            num_train_epochs=1, max_steps=None, per_device_train_batch_size=16, gradient_accumulation_steps=1, learning_rate=3e-4,
            query_learning_rate=1e-3, warmup_ratio=0.1, weight_decay=0.01, max_grad_norm=1.0, gradient_checkpointing=False,
            logging_steps=1, save_steps=steps // 2, save_total_limit=2, resume=True, device=device, bf16=bf16, fp16=False,
            tf32=False if device == "cuda" and not bf16 else None, triton=triton, split_padding=64 if fused else 0,
        )  # fmt: skip
        training, line = choose_engine(wanted, device, 1)
        encoder = ENCODERS[architecture]
        torch.manual_seed(0)
        base = work / ("dense" if architecture == "csr" else "lexical")
        texts = ([row[column] for row in rows.texts] for column in ("positive", "anchor"))
        model = encoder.build(base, section, *texts, device).to(device)
        if fused:
            notes = make_fast(model, torch_or_triton(training.triton), training.split_padding)
            assert not notes, notes
        checkpoints = work / "checkpoints"
        trained = train(
            model, encoder.make_loss(model, Loss(**weights)), encoder, rows, training, seed=1,
            checkpoints=checkpoints, resume_from=checkpoints / f"checkpoint-{steps // 2}" if resume else None,
        )  # fmt: skip
        return [entry["loss"] for entry in trained.log if "loss" in entry], line.partition("; ")[2]

    return run
