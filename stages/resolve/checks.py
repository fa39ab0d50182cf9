"""What is wrong with params.yaml beyond single values: one line a mistake, each with key, problem and remedy."""

import difflib
from collections import Counter
from collections.abc import Iterator, Mapping

from stages.config.own_paths import place
from stages.config.schema import EvaluationSet, Location, ModelEntry, Params
from stages.resolve.entry_checks import check_names, check_own_paths
from stages.resolve.model_checks import check_model_files
from stages.runtime.checkpoint import incomplete
from stages.runtime.errors import UserError
from stages.sample import DATASETS, EVALUATION_SETS

MASKED_LM_BASES = (  # of the presets: known to make no sentence vectors
    "ltg/norbert3-xs",
    "ltg/norbert3-small",
    "ltg/norbert3-base",
    "ltg/norbert3-large",
    "distilbert/distilbert-base-uncased",
)


def check(params: Params, environment: Mapping[str, str]) -> Iterator[str]:
    """Yield every mistake; ``environment`` tells whether `dvc exp run` is at work."""
    yield from check_names(params)
    yield from _check_sets(params)
    yield from check_own_paths(params)
    yield from _check_pins(params)
    yield from _check_models(params)
    yield from _check_base(params)
    yield from check_model_files(params)
    yield from _check_sizes(params)
    yield from _check_targets(params)
    yield from _check_mining(params)
    yield from _check_validation(params)
    yield from _check_resume(params)
    yield from _check_device(params)
    yield from _check_hub(params, environment)


def _entries(params: Params) -> dict[str, Location]:
    """Every data set and evaluation set that the profile uses, by its key."""
    entries: dict[str, Location] = {f"datasets.{name}": entry for name, entry in params.datasets.items()}
    entries |= {f"evaluation.sets.{name}": entry for name, entry in params.evaluation.sets.items()}
    return {key: entry for key, entry in entries.items() if entry.profile == params.profile}


def _check_sets(params: Params) -> Iterator[str]:
    entries = _entries(params)
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
            yield f"{key}.sample: is {entry.sample}; use one of {', '.join(samples)}"
        if entry.path and not place(entry.path).exists():
            yield f"{key}.path: {entry.path} does not exist; correct the path, or leave the set out with {key}.profile=none"
    if twice := [task for task, times in Counter(params.evaluation.mteb).items() if times > 1]:
        yield f"evaluation.mteb: names {', '.join(twice)} more than once; name each task once"
    if params.evaluation.mteb_path and not place(params.evaluation.mteb_path).is_dir():
        yield f"evaluation.mteb_path: {params.evaluation.mteb_path} is no folder; name the folder that holds one folder a task"


def _check_pins(params: Params) -> Iterator[str]:
    entries: dict[str, ModelEntry | Location] = {f"models.{name}": params.models[name] for name in _named(params).values()}
    entries |= _entries(params)
    if unpinned := [f"{key}.revision" for key, entry in entries.items() if entry.repo and not entry.revision]:
        yield (
            f"{', '.join(unpinned)}: no revision is set, and only pinned snapshots are downloaded; "
            "`make pin` looks up all of them on the Hub and writes them (this needs the network once)"
        )


def _named(params: Params) -> dict[str, str]:
    """The models of this run that stand in the table ``models``, by the key that names them."""
    return {key: model for key, model in params.models_used().items() if model in params.models}


def _check_models(params: Params) -> Iterator[str]:
    for name, entry in params.models.items():
        if bool(entry.repo) == bool(entry.path):
            yield f"models.{name}: must have either repo (with revision) or path; give one of them"
        if name == "made":
            yield "models.made: this name stands for the model that is made from the training texts; choose another name"
    for key, model in params.models_used().items():
        entry = params.entry(model)
        if entry.path is None:
            continue
        folder, given_by = place(entry.path), f"models.{model}.path" if model in params.models else key
        if (folder / "config.json").is_file() or (folder / "modules.json").is_file():
            continue
        if folder.is_dir():
            yield f"{given_by}: {entry.path} holds no model (no config.json); name a folder that transformers can load"
        elif model in params.models:
            yield f"{given_by}: {entry.path} is not a folder; correct the path"
        else:
            yield f"{key}: {model} is neither an entry of models nor a folder; {_remedy(params, model)}"


def _remedy(params: Params, model: str) -> str:
    """What to write in place of a model's name that is not known."""
    if same := [name for name, entry in params.models.items() if entry.repo == model]:
        return f"write {same[0]}, its name there"
    if close := difflib.get_close_matches(model, params.models, n=1):
        return f"did you mean {close[0]}?"
    if model.count("/") == 1 and model[0] not in "./~":
        return f"give it an entry, {model.partition('/')[2]}: {{repo: {model}}}, run `make pin`, and write that name here"
    return f"use one of {', '.join([*params.models, 'made'])}, or a folder that exists"


def _check_base(params: Params) -> Iterator[str]:
    base, architecture = params.model.base_model, params.architecture
    entry = params.entry(base)
    if architecture == "csr" and entry.repo in MASKED_LM_BASES:
        yield (
            f"model.base_model: csr cannot build on {base}, a masked language model that makes no sentence vectors; "
            "name a dense sentence-transformers model"
        )


def _check_sizes(params: Params) -> Iterator[str]:
    model, training = params.model, params.training
    if model.base_model == "made" and model.made.hidden_size % model.made.num_attention_heads:
        heads = model.made.num_attention_heads
        yield f"model.made.hidden_size: is {model.made.hidden_size}, which {heads} attention heads do not divide; change one of the two"
    if params.architecture == "csr" and 4 * model.k > model.hidden_dim:
        wide = f"a quarter of model.hidden_dim ({model.hidden_dim})"
        yield f"model.k: is {model.k}, more than {wide}, and the loss looks at 4k latents; make it smaller"
    if params.architecture == "csr" and model.k_aux > model.hidden_dim:
        yield f"model.k_aux: is {model.k_aux}, more than model.hidden_dim ({model.hidden_dim}); make it smaller"
    if params.architecture == "csr" and max(params.evaluation.active_dims, default=0) > model.hidden_dim:
        yield f"evaluation.active_dims: asks for more than model.hidden_dim ({model.hidden_dim}); leave the larger ones out"
    if training.save_steps % training.logging_steps:
        every = f"training.logging_steps ({training.logging_steps})"
        yield f"training.save_steps: is {training.save_steps}, no multiple of {every}; make it one, or a resumed run logs another curve"
    if training.mini_batch_size and training.gradient_checkpointing:
        yield (
            "training.mini_batch_size: is set while training.gradient_checkpointing is true, and the cached loss does not work with it; "
            "set one of them to null or false"
        )
    if training.mini_batch_size and params.architecture == "csr":
        yield "training.mini_batch_size: is set, and csr has no cached loss; set it to null"
    if training.mini_batch_size and training.num_processes > 1 and not training.gather_negatives:
        yield (
            "training.mini_batch_size: is set while each process has batches of its own (training.gather_negatives: false), which may "
            "take different numbers of mini-batches; set gather_negatives to true, or mini_batch_size to null"
        )
    if model.attn_implementation == "flash_attention_2" and not (training.bf16 or training.fp16):
        yield "model.attn_implementation: is flash_attention_2, which takes no float32; set training.bf16 or fp16 to true, or this to null"
    if training.bf16 and training.fp16:
        yield "training.fp16: is true while training.bf16 is true too; set one of them to false"
    if training.num_processes > 1 and training.launcher == "none":
        yield f"training.launcher: is none, which starts one process, not {training.num_processes}; set it to torchrun"


def _check_targets(params: Params) -> Iterator[str]:
    loss = params.loss
    targets = {"document": loss.target_active_dims}
    if params.architecture == "splade":
        targets["query"] = loss.query_target_active_dims
    for kind, target in targets.items() if params.architecture != "csr" else ():
        if target is not None and not getattr(loss, f"{kind}_regularizer_weight"):
            key = "loss.target_active_dims" if kind == "document" else "loss.query_target_active_dims"
            yield f"{key}: is {target}, which steers loss.{kind}_regularizer_weight, and that is 0; set it to 1e-3 or so"


def _check_mining(params: Params) -> Iterator[str]:
    mining = params.mining
    if mining.method == "model" and not mining.model:
        yield "mining.model: has no value while mining.method is model; name a sentence-transformers model, or use bm25"
    if unknown := sorted(set(mining.datasets or ()) - set(params.datasets)):
        yield f"mining.datasets: {', '.join(unknown)} is no data set; use names that stand under datasets"
    if mining.range_max - mining.range_min < mining.negatives:
        yield f"mining.range_max: leaves no room for {mining.negatives} negatives after rank {mining.range_min}; make it larger"


def _check_validation(params: Params) -> Iterator[str]:
    training = params.training
    if training.eval_steps is None:
        if (patience := training.early_stopping_patience) is not None:
            yield f"training.early_stopping_patience: is {patience} while nothing is evaluated; set training.eval_steps"
        return
    if training.eval_steps % training.logging_steps:
        every = f"training.logging_steps ({training.logging_steps})"
        yield f"training.eval_steps: is {training.eval_steps}, no multiple of {every}; make it one, or a resumed run logs another curve"
    known = ["dev", *(name for name, entry in params.evaluation.sets.items() if entry.profile == params.profile)]
    if not training.eval_sets:
        yield f"training.eval_sets: names no set while training.eval_steps is set; name some of {', '.join(known)}"
    for name in training.eval_sets:
        if name not in known:
            yield f"training.eval_sets: {name} is no evaluation set of this profile; use {' or '.join(known)}"


def _check_resume(params: Params) -> Iterator[str]:
    resume = params.training.resume
    if isinstance(resume, str) and (wrong := incomplete(place(resume))):
        yield f"training.resume: {resume} {wrong}; name a complete checkpoint-N, or use true (the last one) or false (start afresh)"


def _check_device(params: Params) -> Iterator[str]:
    if params.training.device in ("cuda", "mps"):
        from stages.runtime.device import choose_device  # takes seconds: it asks torch

        try:
            choose_device(params.training.device)
        except UserError as error:
            yield str(error).removeprefix("params.yaml: ")


def _check_hub(params: Params, environment: Mapping[str, str]) -> Iterator[str]:
    if params.hub.push and not params.hub.model_id:
        yield "hub.model_id: has no value while hub.push is true; set it to you/your-model"
    if params.hub.push and params.hub.strategy == "checkpoint" and not params.hub.private:
        yield "hub.strategy: is checkpoint while hub.private is false; half-trained models are uploaded only in private; set one of the two"
    if params.hub.push and environment.get("DVC_EXP_NAME"):
        yield (
            "hub.push: is true inside `dvc exp run`, where a push could be skipped or repeated by dvc's cache; "
            "run with -S hub.push=false, `dvc exp apply` the winner, then push it with `dvc repro`"
        )
