"""Checks of params.yaml across several values and against the machine; each mistake is one line with the key, the fault and what to do."""

import math
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from stages.config.kinds import EVALUATION_OPTIONS, TRAINING_OPTIONS
from stages.config.own_paths import entries_used, own_paths
from stages.config.params import ARCHITECTURE_KEYS, OPTIONAL_KEYS
from stages.config.schema import Dataset, EvaluationSet, Params
from stages.resolve.models import check_models
from stages.runtime.checkpoint import incomplete
from stages.runtime.errors import UserError
from stages.runtime.root import place, root
from stages.sample import DATASETS, EVALUATION_SETS

OUTPUTS = (
    *(f"data/{name}" for name in ("raw", "eval", "mteb", "formatted", "mined", "mixed", "validation")),
    *(f"models/{name}" for name in ("base", "miner", "teachers", "compare", "dense", "made", "final")),
)
"""What the stages write, and therefore cannot be an input."""


def check(params: Params, environment: Mapping[str, str]) -> Iterator[str]:
    """Yield every mistake; ``environment`` says whether this is a `dvc exp run`."""
    yield from _check_names(params)
    yield from _check_sets(params)
    yield from _check_own_paths(params)
    yield from _check_pins(params)
    yield from check_models(params)
    yield from _check_ignored(params)
    yield from (message for broken, message in _rules(params, environment) if broken)
    yield from _check_eval_sets(params)
    yield from _check_device(params)


def _check_names(params: Params) -> Iterator[str]:
    """Names that some file systems do not distinguish."""
    for table, names in (("datasets", params.datasets), ("evaluation.sets", params.evaluation.sets), ("models", params.models)):
        for lower, number in Counter(map(str.lower, names)).items():
            if number > 1:
                same = " and ".join(name for name in names if name.lower() == lower)
                yield f"{table}: {same} differ only in case, which some file systems ignore; rename one of them"


def _check_sets(params: Params) -> Iterator[str]:
    entries = entries_used(params)
    if not any(key.startswith("datasets.") for key in entries):
        yield f"datasets: no entry has profile: {params.profile}; set it in at least one"
    if not params.evaluation.mteb and not any(key.startswith("evaluation.") for key in entries):
        yield f"evaluation.sets: no entry has profile: {params.profile}; set it in at least one, or name tasks in evaluation.mteb"
    for key, entry in entries.items():
        given = [name for name in ("repo", "path", "sample", "benchmark") if getattr(entry, name, None)]
        if len(given) != 1:
            yield f"{key}: must have exactly one of repo (with revision), path and sample, got {' and '.join(given) or 'none'}"
        elif isinstance(entry, EvaluationSet) and entry.benchmark and (entry.kind != "nanobeir" or not entry.subset):
            yield f"{key}: must have kind nanobeir and a subset (no, sv, …) to use a benchmark, got {entry.kind}, {entry.subset}"
        options = EVALUATION_OPTIONS if isinstance(entry, EvaluationSet) else TRAINING_OPTIONS
        for name in sorted({name for names in options.values() for name in names}):
            if getattr(entry, name) is not None and name not in options.get(entry.kind, ()):
                yield f"{key}.{name}: must be null for kind {entry.kind}, which has no such option, got {getattr(entry, name)}"
        samples = DATASETS if key.startswith("datasets.") else EVALUATION_SETS
        if entry.sample and entry.sample not in samples:
            yield f"{key}.sample: must be one of {', '.join(samples)}, got {entry.sample}"
        if isinstance(entry, Dataset) and entry.kind == "parallel" and len(entry.languages or ()) != 2:
            yield f"{key}.languages: must name two languages for kind parallel, got {', '.join(entry.languages or ()) or 'none'}"
        if entry.path and not place(entry.path).exists():
            yield f"{key}.path: {entry.path} does not exist; correct it, or leave the set out with -S {key}.profile=none"
    if params.evaluation.mteb_path and not place(params.evaluation.mteb_path).is_dir():
        yield f"evaluation.mteb_path: must be a folder with one folder for each task, got {params.evaluation.mteb_path!r}"


def _check_own_paths(params: Params) -> Iterator[str]:
    """Paths whose content every run would change: outputs of the pipeline, or a folder around the checkout."""
    checkout = Path(os.path.realpath(root()))
    for key, path in own_paths(params).items():
        real = Path(os.path.realpath(path))
        if checkout.is_relative_to(real):
            yield f"{key}: {path} contains the checkout itself; name a folder that holds only the files to read"
        elif any(real.is_relative_to(checkout / output) for output in OUTPUTS):
            yield f"{key}: {path} is an output of the pipeline; copy it to another folder, and name the copy"


def _check_pins(params: Params) -> Iterator[str]:
    entries: dict[str, Any] = {f"models.{name}": params.models[name] for name in params.models_used().values() if name in params.models}
    if unpinned := [f"{key}.revision" for key, entry in (entries | entries_used(params)).items() if entry.repo and not entry.revision]:
        yield (
            f"{', '.join(unpinned)}: must be set, as only pinned revisions are downloaded; "
            "`make pin` looks all of them up on the Hub and writes them (this needs the network once)"
        )


def _check_ignored(params: Params) -> Iterator[str]:
    """Optional parts that this architecture does not have. Weights and sizes of another may stay, so that architectures can be compared."""
    for section in sorted({section for sections in ARCHITECTURE_KEYS.values() for section in sections}):
        for key in (*OPTIONAL_KEYS, "active_dims"):
            users = [name for name, sections in ARCHITECTURE_KEYS.items() if key in sections.get(section, ())]
            value = getattr(getattr(params, section), key) if users else None
            if value and params.architecture not in users:
                yield f"{section}.{key}: must be null for {params.architecture}, got {value}; it works for {' and '.join(users)} only"


def _rules(params: Params, environment: Mapping[str, str]) -> Iterator[tuple[Any, str]]:
    """Yield each rule across several values: whether it is broken, and the error line."""
    model, loss, training, mining, hub = params.model, params.loss, params.training, params.mining, params.hub
    csr, cached = params.architecture == "csr", training.mini_batch_size
    limit, window = f"model.max_seq_length ({model.max_seq_length})", model.window or model.max_seq_length
    yield window > model.max_seq_length, f"model.window: must be at most {limit}, got {window}"
    yield model.overlap > window // 2, f"model.window_overlap: must be at most half of a window ({window} tokens), got {model.overlap}"
    heads, width = model.made.num_attention_heads, model.made.hidden_size
    yield (
        model.base_model == "made" and width % heads,
        f"model.made.hidden_size: must be a multiple of model.made.num_attention_heads ({heads}), got {width}",
    )
    yield (
        model.base_model == "made" and model.trim_vocabulary is not None,
        f"model.trim_vocabulary: must be null if model.base_model is made, whose vocabulary comes from the training texts, "
        f"got {model.trim_vocabulary}; lower model.made.vocab_size instead",
    )
    latents, hidden = f"model.hidden_dim ({model.hidden_dim})", (model.hidden_dim if csr else None) or math.inf
    yield (
        csr and 4 * model.k > hidden,
        f"model.k: must be at most a quarter of {latents}, as the loss uses 4k latents, got {model.k}",
    )
    yield csr and model.k_aux > hidden, f"model.k_aux: must be at most {latents}, got {model.k_aux}"
    largest = max(params.evaluation.active_dims, default=0)
    yield largest > hidden, f"evaluation.active_dims: must be at most {latents}, got {largest}"

    metric = training.metric_for_best_model
    yield (
        csr and metric not in (None, "eval_gain_ndcg@10"),
        f"training.metric_for_best_model: must be null for csr, which is kept only if it gains on its control, got {metric}",
    )

    for steps, number in (("save_steps", training.save_steps), ("eval_steps", training.eval_steps or 0)):
        every = f"training.logging_steps ({training.logging_steps})"
        remedy = "otherwise a resumed run logs another curve"
        yield number % training.logging_steps, f"training.{steps}: must be a multiple of {every}, got {number}; {remedy}"
    yield (
        cached and training.gradient_checkpointing,
        "training.mini_batch_size: must be null if training.gradient_checkpointing is true, as the cached loss does not support it",
    )
    yield cached and csr, "training.mini_batch_size: must be null for csr, which has no cached loss"
    yield (
        cached and training.num_processes > 1 and not training.gather_negatives,
        "training.mini_batch_size: must be null if each process has its own batches, which may need different numbers of mini-batches; "
        "or set training.gather_negatives to true",
    )
    yield (
        model.attn_implementation == "flash_attention_2" and not (training.bf16 or training.fp16),
        "model.attn_implementation: flash_attention_2 does not support float32; set training.bf16 or training.fp16 to true",
    )
    yield training.bf16 and training.fp16, "training.fp16: must be false if training.bf16 is true"
    yield (
        training.num_processes > 1 and training.launcher == "none",
        f"training.launcher: must be torchrun if training.num_processes is {training.num_processes}, got none, which starts one process",
    )
    for key, target, weight in (
        ("target_active_dims", loss.target_active_dims, "document_regularizer_weight"),
        ("query_target_active_dims", loss.query_target_active_dims, "query_regularizer_weight"),
    ):
        broken = target and getattr(loss, weight) == 0
        yield (
            broken,
            f"loss.{weight}: must be greater than 0 if loss.{key} ({target}) steers it, got 0; start from about 1e-3, or set {key} to 0",
        )

    yield (
        mining.searches and not mining.model,
        f"mining.model: must be set if mining.method is {mining.method}; name a sentence-transformers model, or use bm25",
    )
    twice = [model for model, number in Counter(teacher.model for teacher in mining.teachers).items() if number > 1]
    yield twice, f"mining.teachers: must name each model once, got {', '.join(twice)} several times; raise its weight instead"
    yield (
        loss.distillation == "none" and not loss.contrast,
        "loss.contrastive_weight: must be greater than 0 if loss.distillation is none, got 0: nothing would be learned",
    )
    yield (
        loss.distillation != "none" and not loss.distillation_weight,
        f"loss.distillation_weight: must be greater than 0 if loss.distillation is {loss.distillation}, got 0; or set that to none",
    )
    unknown = sorted(set(mining.datasets or ()) - set(params.datasets))
    yield unknown, f"mining.datasets: must name entries of datasets, got {', '.join(unknown)}"
    yield (
        mining.range_max < (least := mining.range_min + mining.negatives),
        f"mining.range_max: must be at least mining.range_min + mining.negatives ({least}), got {mining.range_max}",
    )
    resume = training.resume
    if isinstance(resume, str):
        wrong = incomplete(place(resume))
        yield (wrong, f"training.resume: {resume} {wrong}; name a complete checkpoint-N, or use true (the last one) or false (start again)")
    yield hub.push and not hub.model_id, "hub.model_id: must be set if hub.push is true, such as you/your-model"
    yield (
        hub.push and hub.strategy == "checkpoint" and not hub.private,
        "hub.strategy: must be end if hub.private is false, as checkpoints are only uploaded to private repositories, got checkpoint",
    )
    yield (
        hub.push and environment.get("DVC_EXP_NAME"),
        "hub.push: must be false in `dvc exp run`, as DVC's run cache could skip or repeat the push; "
        "add -S hub.push=false, `dvc exp apply` the best experiment, then push it with `dvc repro`",
    )


def _check_eval_sets(params: Params) -> Iterator[str]:
    training = params.training
    if training.eval_steps is None:
        if (patience := training.early_stopping_patience) is not None:
            yield f"training.early_stopping_patience: must be null if training.eval_steps is null, got {patience}"
        return
    known = ["dev", *params.used(params.evaluation.sets)]
    if not training.eval_sets:
        yield f"training.eval_sets: must not be empty if training.eval_steps is set; choose from {', '.join(known)}"
    for name in training.eval_sets:
        if name not in known:
            yield f"training.eval_sets: must name evaluation sets of this profile ({', '.join(known)}), got {name}"
    datasets = params.used(params.datasets)
    if "dev" in training.eval_sets and datasets and {entry.kind for entry in datasets.values()} == {"documents"}:
        yield (
            f"training.eval_sets: must not name dev if all data sets ({', '.join(datasets)}) are of kind documents, which has no dev rows; "
            f"name one of {', '.join(known[1:]) or 'evaluation.sets'}, whose score is then too high, or add a data set with queries"
        )


def _check_device(params: Params) -> Iterator[str]:
    if params.training.device in ("cuda", "mps"):
        from stages.runtime.device import choose_device  # takes seconds: it imports torch

        try:
            choose_device(params.training.device)
        except UserError as error:
            yield str(error).removeprefix("params.yaml: ")
