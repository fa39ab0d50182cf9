"""What is wrong with params.yaml beyond single values: one line a mistake, each with key, problem and remedy."""

import os
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from stages.config.own_paths import entries_used, own_paths
from stages.config.schema import EvaluationSet, Params
from stages.resolve.models import check_models
from stages.runtime.checkpoint import incomplete
from stages.runtime.errors import UserError
from stages.runtime.root import place, root
from stages.sample import DATASETS, EVALUATION_SETS

OUTPUTS = (
    *(f"data/{name}" for name in ("raw", "eval", "mteb", "formatted", "mined", "mixed", "validation")),
    *(f"models/{name}" for name in ("base", "miner", "cross-encoder", "made", "final")),
)
"""What the stages write: as an input it would change with every run."""


def check(params: Params, environment: Mapping[str, str]) -> Iterator[str]:
    """Yield every mistake; ``environment`` tells whether `dvc exp run` is at work."""
    yield from _check_names(params)
    yield from _check_sets(params)
    yield from _check_own_paths(params)
    yield from _check_pins(params)
    yield from check_models(params)
    yield from (message for broken, message in _rules(params, environment) if broken)
    yield from _check_eval_sets(params)
    yield from _check_device(params)


def _check_names(params: Params) -> Iterator[str]:
    """Names that a file system could confuse."""
    for table, names in (("datasets", params.datasets), ("evaluation.sets", params.evaluation.sets), ("models", params.models)):
        for lower, number in Counter(map(str.lower, names)).items():
            if number > 1:
                same = " and ".join(name for name in names if name.lower() == lower)
                yield f"{table}: {same} differ in upper and lower case only, which some file systems do not tell apart; rename one of them"


def _check_sets(params: Params) -> Iterator[str]:
    entries = entries_used(params)
    if not any(key.startswith("datasets.") for key in entries):
        yield "datasets: this profile has none; give one its name as profile"
    if not params.evaluation.mteb and not any(key.startswith("evaluation.") for key in entries):
        yield "evaluation.sets: this profile has none; give one its name as profile, or name tasks in evaluation.mteb"
    for key, entry in entries.items():
        given = [name for name in ("repo", "path", "sample", "benchmark") if getattr(entry, name, None)]
        if len(given) != 1:
            yield f"{key}: has {' and '.join(given) or 'no place to come from'}; give one of repo (with revision), path, sample"
        elif isinstance(entry, EvaluationSet) and entry.benchmark and (entry.kind != "nanobeir" or not entry.subset):
            yield f"{key}: a benchmark of MTEB is of kind nanobeir and needs the subset to take (no, sv, …); give both"
        samples = DATASETS if key.startswith("datasets.") else EVALUATION_SETS
        if entry.sample and entry.sample not in samples:
            yield f"{key}.sample: must be one of {', '.join(samples)}, got {entry.sample}; correct it"
        if entry.path and not place(entry.path).exists():
            yield f"{key}.path: {entry.path} does not exist; correct the path, or leave the set out with {key}.profile=none"
    if twice := [task for task, times in Counter(params.evaluation.mteb).items() if times > 1]:
        yield f"evaluation.mteb: names {', '.join(twice)} more than once; name each task once"
    if params.evaluation.mteb_path and not place(params.evaluation.mteb_path).is_dir():
        yield f"evaluation.mteb_path: {params.evaluation.mteb_path} is not a folder; name the folder that holds one folder a task"


def _check_own_paths(params: Params) -> Iterator[str]:
    """Paths that would change with every run: an output of the pipeline, or a folder around all of it."""
    checkout = Path(os.path.realpath(root()))
    for key, path in own_paths(params).items():
        real = Path(os.path.realpath(path))
        if checkout.is_relative_to(real):
            yield f"{key}: {path} contains the checkout itself; name a folder with nothing but the files to read"
        elif any(real.is_relative_to(checkout / output) for output in OUTPUTS):
            yield f"{key}: {path} is replaced by later runs; copy it to another folder, and name the copy"


def _check_pins(params: Params) -> Iterator[str]:
    entries: dict[str, Any] = {f"models.{name}": params.models[name] for name in params.models_used().values() if name in params.models}
    if unpinned := [f"{key}.revision" for key, entry in (entries | entries_used(params)).items() if entry.repo and not entry.revision]:
        yield (
            f"{', '.join(unpinned)}: no revision is set, and only pinned snapshots are downloaded; "
            "`make pin` looks up all of them on the Hub and writes them (this needs the network once)"
        )


def _rules(params: Params, environment: Mapping[str, str]) -> Iterator[tuple[Any, str]]:
    """Yield each rule across several values: whether it is broken, and the line that says so."""
    model, loss, training, mining, hub = params.model, params.loss, params.training, params.mining, params.hub
    csr, cached = params.architecture == "csr", training.mini_batch_size
    heads, width = model.made.num_attention_heads, model.made.hidden_size
    yield (
        model.base_model == "made" and width % heads,
        f"model.made.hidden_size: must be a multiple of model.made.num_attention_heads ({heads}), got {width}; change one of them",
    )
    latents = f"model.hidden_dim ({model.hidden_dim})"
    yield (
        csr and 4 * model.k > model.hidden_dim,
        f"model.k: must be at most a quarter of {latents}, got {model.k} (the loss reads 4k); lower it",
    )
    yield csr and model.k_aux > model.hidden_dim, f"model.k_aux: must be at most {latents}, got {model.k_aux}; make it smaller"
    asked = max(params.evaluation.active_dims, default=0)
    yield csr and asked > model.hidden_dim, f"evaluation.active_dims: must be at most {latents}, got {asked}; leave the larger ones out"

    for steps, number in (("save_steps", training.save_steps), ("eval_steps", training.eval_steps or 0)):
        every = f"training.logging_steps ({training.logging_steps})"
        remedy = "change it, or a resumed run logs another curve"
        yield number % training.logging_steps, f"training.{steps}: must be a multiple of {every}, got {number}; {remedy}"
    yield (
        cached and training.gradient_checkpointing,
        "training.mini_batch_size: is set while training.gradient_checkpointing is true, and the cached loss does not work with it; "
        "set one of them to null or false",
    )
    yield cached and csr, "training.mini_batch_size: is set, and csr has no cached loss; set it to null"
    yield (
        cached and training.num_processes > 1 and not training.gather_negatives,
        "training.mini_batch_size: is set while each process has batches of its own (training.gather_negatives: false), which may "
        "take different numbers of mini-batches; set gather_negatives to true, or mini_batch_size to null",
    )
    yield (
        model.attn_implementation == "flash_attention_2" and not (training.bf16 or training.fp16),
        "model.attn_implementation: is flash_attention_2, which takes no float32; set training.bf16 or fp16 to true, or this to null",
    )
    yield training.bf16 and training.fp16, "training.fp16: is true while training.bf16 is true too; set one of them to false"
    yield (
        training.num_processes > 1 and training.launcher == "none",
        f"training.launcher: is none, which starts one process, not {training.num_processes}; set it to torchrun",
    )
    for key, target, weight, used in (
        ("target_active_dims", loss.target_active_dims, "document_regularizer_weight", not csr),
        ("query_target_active_dims", loss.query_target_active_dims, "query_regularizer_weight", params.architecture == "splade"),
    ):
        broken = used and target is not None and not getattr(loss, weight)
        yield broken, f"loss.{key}: is {target}, which steers loss.{weight}, and that is 0; set it to 1e-3 or so"

    yield (
        mining.method == "model" and not mining.model,
        "mining.model: has no value while mining.method is model; name a sentence-transformers model, or use bm25",
    )
    unknown = sorted(set(mining.datasets or ()) - set(params.datasets))
    yield unknown, f"mining.datasets: {', '.join(unknown)} is not a data set; use names that stand under datasets"
    yield (
        mining.range_max - mining.range_min < mining.negatives,
        f"mining.range_max: leaves no room for {mining.negatives} negatives after rank {mining.range_min}; make it larger",
    )
    resume = training.resume
    if isinstance(resume, str):
        wrong = incomplete(place(resume))
        yield wrong, f"training.resume: {resume} {wrong}; name a complete checkpoint-N, or use true (the last one) or false (start afresh)"
    yield hub.push and not hub.model_id, "hub.model_id: has no value while hub.push is true; set it to you/your-model"
    yield (
        hub.push and hub.strategy == "checkpoint" and not hub.private,
        "hub.strategy: is checkpoint while hub.private is false; half-trained models are uploaded only in private; set one of the two",
    )
    yield (
        hub.push and environment.get("DVC_EXP_NAME"),
        "hub.push: is true inside `dvc exp run`, where a push could be skipped or repeated by dvc's cache; "
        "run with -S hub.push=false, `dvc exp apply` the winner, then push it with `dvc repro`",
    )


def _check_eval_sets(params: Params) -> Iterator[str]:
    training = params.training
    if training.eval_steps is None:
        if (patience := training.early_stopping_patience) is not None:
            yield f"training.early_stopping_patience: is {patience} while nothing is evaluated; set training.eval_steps"
        return
    known = ["dev", *(name for name, entry in params.evaluation.sets.items() if entry.profile == params.profile)]
    if not training.eval_sets:
        yield f"training.eval_sets: names no set while training.eval_steps is set; name some of {', '.join(known)}"
    for name in training.eval_sets:
        if name not in known:
            yield f"training.eval_sets: {name} is not an evaluation set of this profile; use {' or '.join(known)}"


def _check_device(params: Params) -> Iterator[str]:
    if params.training.device in ("cuda", "mps"):
        from stages.runtime.device import choose_device  # takes seconds: it imports torch

        try:
            choose_device(params.training.device)
        except UserError as error:
            yield str(error).removeprefix("params.yaml: ")
