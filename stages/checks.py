"""What is wrong with params.yaml beyond single values: one line a mistake, each with key, problem and remedy."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from stages.schema import Location, Params

MASKED_LM_BASES = (  # of the presets: known to make no sentence vectors
    "ltg/norbert3-xs",
    "ltg/norbert3-small",
    "ltg/norbert3-base",
    "ltg/norbert3-large",
    "distilbert/distilbert-base-uncased",
)


def check(params: Params, environment: Mapping[str, str]) -> Iterator[str]:
    """Yield every mistake; ``environment`` tells whether `dvc exp run` is at work."""
    yield from _check_sets(params)
    yield from _check_pins(params)
    yield from _check_base(params)
    yield from _check_sizes(params)
    yield from _check_hub(params, environment)


def _entries(params: Params) -> dict[str, Location]:
    """Every data set and evaluation set that the profile uses, by its key."""
    entries: dict[str, Location] = {f"datasets.{name}": entry for name, entry in params.datasets.items()}
    entries |= {f"evaluation.sets.{name}": entry for name, entry in params.evaluation.sets.items()}
    return {key: entry for key, entry in entries.items() if entry.chosen(params.profile)}


def _check_sets(params: Params) -> Iterator[str]:
    entries = _entries(params)
    if not any(key.startswith("datasets.") for key in entries):
        yield "datasets: none is enabled for this profile; enable one"
    if not params.evaluation.mteb and not any(key.startswith("evaluation.") for key in entries):
        yield "evaluation.sets: none is enabled for this profile; enable one, or name tasks in evaluation.mteb"
    for key, entry in entries.items():
        given = [name for name in ("repo", "path", "sample") if getattr(entry, name)]
        if len(given) != 1:
            yield f"{key}: has {' and '.join(given) or 'no place to come from'}; give one of repo (with revision), path, sample"
        if entry.path and not Path(entry.path).exists():
            yield f"{key}.path: {entry.path} does not exist; correct the path, or leave the set out with {key}.enabled=false"
    if params.evaluation.mteb_path and not Path(params.evaluation.mteb_path).is_dir():
        yield f"evaluation.mteb_path: {params.evaluation.mteb_path} is no folder; name the folder that holds one folder a task"


def _check_pins(params: Params) -> Iterator[str]:
    unpinned = [f"{key}.revision" for key, entry in _entries(params).items() if entry.repo and not entry.revision]
    if is_hub_id(params.model.base_model) and not params.model.revision:
        unpinned.append("model.revision")
    if unpinned:
        yield (
            f"{', '.join(unpinned)}: no revision is set, and only pinned snapshots are downloaded; "
            f"`make pin` looks them up on the Hub and writes them (profile {params.profile} needs the network once)"
        )


def is_hub_id(base_model: str) -> bool:
    """Whether ``base_model`` names a Hub repository: owner/name, where no such folder stands."""
    return base_model != "made" and base_model.count("/") == 1 and base_model[0] not in "./~" and not Path(base_model).is_dir()


def _check_base(params: Params) -> Iterator[str]:
    base, architecture = params.model.base_model, params.architecture
    if base == "made":
        return
    if is_hub_id(base):
        if architecture == "csr" and base in MASKED_LM_BASES:
            yield (
                f"model.base_model: csr cannot build on {base}, a masked language model that makes no sentence vectors; "
                "name a dense sentence-transformers model"
            )
        return
    folder = Path(base)
    names = _architectures(folder / "config.json")
    if not folder.is_dir():
        yield f"model.base_model: {base} is no folder and no Hub id; correct it"
    elif architecture == "csr" and _mentions(folder / "modules.json", "sparse_encoder"):
        yield f"model.base_model: csr cannot build on {base}, a sparse model; name a dense sentence-transformers model or a plain encoder"
    elif architecture == "csr" and (folder / "modules.json").exists():
        return
    elif names is None:
        yield f"model.base_model: {base} holds no config.json that can be read; name a folder that transformers can load"
    elif architecture != "csr" and not any(name.endswith("ForMaskedLM") for name in names):
        found = ", ".join(names) or "no architecture"
        yield f"model.base_model: {architecture} needs a masked-LM head, and {base} is {found}; name a …ForMaskedLM model, or use csr"


def _architectures(config: Path) -> list[str] | None:
    """The architectures that a config.json names; None where it is missing or broken."""
    try:
        return list(json.loads(config.read_text(encoding="utf-8")).get("architectures") or [])
    except (OSError, ValueError, AttributeError):
        return None


def _mentions(path: Path, text: str) -> bool:
    return path.exists() and text in path.read_text(encoding="utf-8")


def _check_sizes(params: Params) -> Iterator[str]:
    model, training = params.model, params.training
    if model.base_model == "made" and model.made and model.made.hidden_size % model.made.num_attention_heads:
        heads = model.made.num_attention_heads
        yield f"model.made.hidden_size: is {model.made.hidden_size}, which {heads} attention heads do not divide; change one of the two"
    if params.architecture == "csr" and 4 * model.k > model.hidden_dim:
        wide = f"a quarter of model.hidden_dim ({model.hidden_dim})"
        yield f"model.k: is {model.k}, more than {wide}, and the loss looks at 4k latents; make it smaller"
    if params.architecture == "csr" and model.k_aux > model.hidden_dim:
        yield f"model.k_aux: is {model.k_aux}, more than model.hidden_dim ({model.hidden_dim}); make it smaller"
    if training.save_steps % training.logging_steps:
        every = f"training.logging_steps ({training.logging_steps})"
        yield f"training.save_steps: is {training.save_steps}, no multiple of {every}; make it one, or a resumed run logs another curve"
    if training.bf16 and training.fp16:
        yield "training.fp16: is true while training.bf16 is true too; set one of them to false"
    if training.num_processes > 1 and training.launcher == "none":
        yield f"training.launcher: is none, which starts one process, not {training.num_processes}; set it to torchrun"


def _check_hub(params: Params, environment: Mapping[str, str]) -> Iterator[str]:
    if params.hub.push and not params.hub.model_id:
        yield "hub.model_id: has no value while hub.push is true; set it to you/your-model"
    if params.hub.push and environment.get("DVC_EXP_NAME"):
        yield (
            "hub.push: is true inside `dvc exp run`, where a push could be skipped or repeated by dvc's cache; "
            "run with -S hub.push=false, `dvc exp apply` the winner, then push it with `dvc repro`"
        )
