"""Which Python code of its own a model needs, and whether it may run: one rule for the base, the miner and the cross-encoder.

Only what is loaded counts: the configuration, the model class of the task, the tokenizer, and sentence-transformers modules. A reference to
another repository (``owner/name--module.Class``) is fetched by transformers without any pin; fine-tuned models keep such references for
classes that nobody loads here.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from stages.pretrained.files import Use
from stages.pretrained.norbert import family_of, transformer_folder, unfit
from stages.runtime.files import read_json

AUTO_CLASSES = {
    "feature-extraction": "AutoModel",
    "fill-mask": "AutoModelForMaskedLM",
    "sequence-classification": "AutoModelForSequenceClassification",
    "text-generation": "AutoModelForCausalLM",
}
MAPPINGS = {
    "AutoModel": "MODEL_MAPPING_NAMES",
    "AutoModelForMaskedLM": "MODEL_FOR_MASKED_LM_MAPPING_NAMES",
    "AutoModelForSequenceClassification": "MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES",
    "AutoModelForCausalLM": "MODEL_FOR_CAUSAL_LM_MAPPING_NAMES",
}


def require_allowed_code(folder: Path, use: Use) -> None:
    """Raise UserError if the model needs code that params.yaml does not allow, that lies in another repository, or that is missing.

    Nothing is executed. The weights need not be there yet.
    """
    place = transformer_folder(folder)
    config = read_json(place / "config.json")
    references = dict(_references(folder, config, use.task))
    family = family_of(config)
    needed = family is not None or any(_is_needed(kind, folder, config) for kind in references)
    if not needed and not use.trusted:
        return  # transformers has classes of its own for all of them, and takes those
    code = {reference: f"{reference.rpartition('--')[2].split('.')[0]}.py" for reference in references.values()}
    present = {reference: (place / file).is_file() or (folder / file).is_file() for reference, file in code.items()}
    for reference in references.values():
        repository, _, name = reference.rpartition("--")
        if repository and not (family and present[reference]):  # `prepare_base` takes NorBERT's classes from the folder
            remedy = "name a model that holds its code itself" if needed else "it loads without: set trust_remote_code to false"
            raise use.error(f"takes {name} from another repository, {repository}, which nothing pins; {remedy}")
    if not use.trusted:
        raise use.error(f"needs Python code of its own, which runs only where that is allowed; read the code, then {use.permission}")
    if missing := [reference for reference in references.values() if not present[reference]]:
        raise use.error(f"takes {missing[0]} from {code[missing[0]]}, which it lacks; name a complete model")
    if family and (fault := unfit(place, family, use.task)):
        raise use.error(fault)


def _references(folder: Path, config: Mapping[str, Any], task: str) -> Iterator[tuple[str, str]]:
    """Kind and reference of all code that loading may take from the folder, such as ``modeling_x.Model``."""
    auto_map = config.get("auto_map") or {}
    for kind in ("AutoConfig", AUTO_CLASSES.get(task, "AutoModel")):
        if isinstance(auto_map.get(kind), str):
            yield kind, auto_map[kind]
    tokenizer = read_json(transformer_folder(folder) / "tokenizer_config.json").get("auto_map") or {}
    named = tokenizer.get("AutoTokenizer") if isinstance(tokenizer, dict) else tokenizer
    classes = [named] if isinstance(named, str) else [each for each in named or [] if each]
    if classes:
        yield "AutoTokenizer", classes[-1]  # of a slow and a fast one the fast one, which stands last
    router = read_json(folder / "router_config.json").get("types") or {}
    for kind in (*(str(module.get("type")) for module in read_json(folder / "modules.json") or []), *map(str, router.values())):
        if not kind.startswith("sentence_transformers."):
            yield kind, kind


def _is_needed(kind: str, folder: Path, config: Mapping[str, Any]) -> bool:
    """Whether transformers has no class of its own to take where the model's code is not allowed."""
    from transformers.models.auto import configuration_auto, modeling_auto, tokenization_auto

    model_type = config.get("model_type")
    if kind == "AutoConfig":
        return model_type not in configuration_auto.CONFIG_MAPPING_NAMES
    if kind == "AutoTokenizer":
        named = read_json(transformer_folder(folder) / "tokenizer_config.json").get("tokenizer_class") or ""
        return model_type not in tokenization_auto.TOKENIZER_MAPPING_NAMES and tokenization_auto.tokenizer_class_from_name(named) is None
    return kind not in MAPPINGS or model_type not in getattr(modeling_auto, MAPPINGS[kind])
