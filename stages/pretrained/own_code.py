"""Check which of a model's own Python code would run, and whether it may: one rule for every model.

Only classes that are loaded count: the configuration, the task's model class, the tokenizer, and sentence-transformers modules. Code from
another repository (``owner/name--module.Class``) is refused, since transformers downloads it without a pinned revision; fine-tuned models
keep such references for classes that are never loaded here.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from stages.pretrained.files import Use
from stages.pretrained.norbert import family_of, repair_fault, transformer_folder
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
    """Raise UserError if the model needs code that params.yaml does not allow, that is in another repository, or that is missing.

    Nothing is executed, and the weights may still be missing.
    """
    place = transformer_folder(folder)
    config = read_json(place / "config.json")
    references = dict(_references(folder, config, use.task))
    family = family_of(config)
    needed = family is not None or any(_is_needed(kind, folder, config) for kind in references)
    if not needed and not use.trusted:
        return  # transformers uses its own classes
    code = {reference: f"{reference.rpartition('--')[2].split('.')[0]}.py" for reference in references.values()}
    present = {reference: (place / file).is_file() or (folder / file).is_file() for reference, file in code.items()}
    for reference in references.values():
        repository, _, name = reference.rpartition("--")
        if repository and not (family and present[reference]):  # `prepare_base` makes NorBERT use the folder's own classes
            remedy = "name a model that contains its code" if needed else "it loads without that code: set trust_remote_code to false"
            raise use.error(f"takes {name} from another repository, {repository}, whose revision is not pinned; {remedy}")
    if not use.trusted:
        raise use.error(f"needs Python code of its own, which runs only if you allow it; read the code, then {use.permission}")
    if missing := [reference for reference in references.values() if not present[reference]]:
        raise use.error(f"takes {missing[0]} from {code[missing[0]]}, which it lacks; name a complete model")
    if family and (fault := repair_fault(place, family, use.task)):
        raise use.error(fault)


def _references(folder: Path, config: Mapping[str, Any], task: str) -> Iterator[tuple[str, str]]:
    """Kind and reference (such as ``modeling_x.Model``) of all code that loading the model may import."""
    auto_map = config.get("auto_map") or {}
    for kind in ("AutoConfig", AUTO_CLASSES.get(task, "AutoModel")):
        if isinstance(auto_map.get(kind), str):
            yield kind, auto_map[kind]
    tokenizer = read_json(transformer_folder(folder) / "tokenizer_config.json").get("auto_map") or {}
    named = tokenizer.get("AutoTokenizer") if isinstance(tokenizer, dict) else tokenizer
    classes = [named] if isinstance(named, str) else [each for each in named or [] if each]
    if classes:
        yield "AutoTokenizer", classes[-1]  # [slow, fast]
    router = read_json(folder / "router_config.json").get("types") or {}
    for kind in (*(str(module.get("type")) for module in read_json(folder / "modules.json") or []), *map(str, router.values())):
        if not kind.startswith("sentence_transformers."):
            yield kind, kind


def _is_needed(kind: str, folder: Path, config: Mapping[str, Any]) -> bool:
    """Whether transformers has no class of its own to use instead of the model's code."""
    from transformers.models.auto import configuration_auto, modeling_auto, tokenization_auto

    model_type = config.get("model_type")
    if kind == "AutoConfig":
        return model_type not in configuration_auto.CONFIG_MAPPING_NAMES
    if kind == "AutoTokenizer":
        named = read_json(transformer_folder(folder) / "tokenizer_config.json").get("tokenizer_class") or ""
        return model_type not in tokenization_auto.TOKENIZER_MAPPING_NAMES and tokenization_auto.tokenizer_class_from_name(named) is None
    return kind not in MAPPINGS or model_type not in getattr(modeling_auto, MAPPINGS[kind])
