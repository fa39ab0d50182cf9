"""Train tiny models in one process and in two: `python -m tests.unit.train.team DATA`.

Writes DATA/<run>-<kind>.json with rank 0's training curve and final weights, and DATA/<run>-<kind>-<rank>.json with each process's
measurements of the regularisers and counts of CSR's dead latents. The processes are forks of this one, so that the libraries are
imported once; test_launch.py tests torchrun itself.
"""

import json
import multiprocessing
import os
import sys
from pathlib import Path

import torch
from sentence_transformers import SparseEncoder
from sentence_transformers.sparse_encoder.modules import SparseAutoEncoder
from transformers import set_seed

from stages.encoders.building import ENCODERS
from stages.encoders.fast.model import make_fast
from stages.train import sparsity
from stages.train.data import Share, open_rows
from stages.train.distributed import Processes, gather_negatives, joined
from stages.train.trainer import train
from tests.sections import loss_section, training_section
from tests.tiny_models import without_dropout

RUNS = {  # name: processes, whether they gather, gradient accumulation steps
    "alone": (1, False, 1),
    "gathered": (2, True, 1),
    "accumulated": (1, False, 2),
    "apart": (2, False, 1),
}
KINDS = {  # name: architecture, settings of the loss
    "splade": ("splade", {}),
    "inference-free-splade": ("inference-free-splade", {}),
    "csr": ("csr", {"similarity_weight": 3.0}),
    "distilled": ("splade", {"distillation": "kl"}),
    "steered": ("splade", {"regularizer": "df_flops", "target_active_dims": 30}),
    "cached-splade": ("splade", {}),
    "cached-inference-free-splade": ("inference-free-splade", {}),
}


def main(data: Path) -> None:
    torch.set_num_threads(1)
    sparsity.DENSE_LIMIT = 1.0  # twelve steps do not make the tiny models sparse
    for number, name in enumerate(RUNS):
        context = multiprocessing.get_context("fork")
        team = [context.Process(target=member, args=(data, name, index, number)) for index in range(RUNS[name][0])]
        for process in team:
            process.start()
        for process in team:
            process.join()
            assert process.exitcode == 0, f"{name}: a process ended with {process.exitcode}"


def member(data: Path, run: str, index: int, number: int) -> None:
    count, gather, accumulation = RUNS[run]
    if count > 1:
        team = {"RANK": index, "LOCAL_RANK": index, "WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count}
        os.environ.update({name: str(value) for name, value in team.items()})
        os.environ.update(MASTER_ADDR="localhost", MASTER_PORT=str(20_000 + os.getppid() % 10_000 + number))
    with joined(count, "cpu") as processes:
        for kind in KINDS:
            if not kind.startswith("cached") or gather or count == 1:
                curve_and_weights(data, run, kind, processes, gather, accumulation)


def curve_and_weights(data: Path, run: str, kind: str, processes: Processes, gather: bool, accumulation: int) -> None:
    architecture, options = KINDS[kind]
    encoder = ENCODERS[architecture]
    set_seed(3)
    model = without_dropout(SparseEncoder(str(data / architecture), device="cpu"))
    for module in model.modules():
        if isinstance(module, SparseAutoEncoder):
            module.k_aux, module.dead_threshold = 16, 6  # of the 64 latents of the tiny model
    make_fast(model, split_padding=4)
    weights = loss_section(document_regularizer_weight=0.1, query_regularizer_weight=0.1, **options)
    loss = encoder.make_loss(model, weights, 3 if kind.startswith("cached") else None)
    if gather:
        gather_negatives(loss)
    saved: list[str] = []
    save = model.save_pretrained
    model.save_pretrained = lambda path, **options: (saved.append(path), save(path, **options))
    folder = data / f"{run}-{kind}-checkpoints"
    folder.mkdir(exist_ok=True)
    rows = open_rows(data / "train.parquet", folder / f"rows-{processes.index}.arrow", scored=kind == "distilled")
    training = training_section(gradient_accumulation_steps=accumulation, learning_rate=1e-2)
    trained = train(
        model, loss, encoder, rows, training, seed=3, checkpoints=folder, resume_from=None,
        share=Share(processes.index, processes.count, of_each_batch=gather),
    )  # fmt: skip
    assert bool(saved) == processes.first, "only rank 0 writes checkpoints"
    if processes.first:
        weights = {name: value.tolist() for name, value in model.state_dict().items()}
        (data / f"{run}-{kind}.json").write_text(json.dumps({"log": trained.log, "weights": weights}))
    state = sparsity.loss_state(loss) | {name: buffer for name, buffer in model.named_buffers() if "last_nonzero" in name}
    (data / f"{run}-{kind}-{processes.index}.json").write_text(json.dumps({name: value.tolist() for name, value in state.items()}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
