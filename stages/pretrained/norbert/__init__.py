"""Make NorBERT 3 and 4, written for transformers 4, work with transformers 5, by adding one file to a copy of the model's folder.

The repair has to be in the folder: a model repaired only in this process gives other embeddings, or does not load, once it is saved and
used without this project. `repaired_gptbert.py` (NorBERT 4) and `repaired_norbert.py` (NorBERT 3) are never imported here: transformers
imports them from the folder, like the model's own code, if params.yaml allows that model's code.
"""

import ast
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import safe_open

from stages.runtime.errors import UserError
from stages.runtime.files import atomic_write, read_json

EMBEDDINGS = "embedding.word_embedding.weight"


@dataclass(frozen=True)
class Family:
    """One generation of NorBERT.

    Attributes:
        name: its common name.
        prefix: prefix of its class names.
        code: its modelling file.
        repair: the added file; its classes are named as the family's, with Repaired in front.
        replaced: classes of ``code`` that the repair builds on.
        head: name of the last linear map's weight.
        positions: the key in config.json for the number of positions; None: positions are relative.
        always_tied: whether the head's weight always is the word embeddings; if not, it is only if a file holds one weight for both.
    """

    name: str
    prefix: str
    code: str
    repair: str
    replaced: tuple[str, ...]
    head: str
    positions: str | None
    always_tied: bool


FAMILIES = (
    Family(
        name="NorBERT 4",
        prefix="GptBert",
        code="modeling_gptbert.py",
        repair="repaired_gptbert.py",
        replaced=("GptBertModel", "GptBertForMaskedLM", "Layer", "RotaryPositionalEmbeddings"),
        head="classifier.emb2vocab.weight",
        positions="max_sequence_length",
        always_tied=False,
    ),
    Family(
        name="NorBERT 3",
        prefix="Norbert",
        code="modeling_norbert.py",
        repair="repaired_norbert.py",
        replaced=("NorbertModel", "NorbertForMaskedLM", "EncoderLayer"),
        head="classifier.nonlinearity.5.weight",
        positions=None,
        always_tied=True,
    ),
)


def prepare_base(base: Path, work: Path) -> Path:
    """The folder to load: ``work/base``, a repaired copy, if ``base`` is an unrepaired NorBERT 3 or 4; else ``base`` itself.

    No code of the folder is executed. Weights are linked, not copied. ``base`` is a masked language model, a plain encoder or a
    dense sentence-transformers model.

    Raises:
        UserError: the repair does not fit the model's code, or the code is missing.
    """
    place = transformer_folder(base)
    config = read_json(place / "config.json")
    family = family_of(config)
    if family is None:
        return base
    if fault := repair_fault(place, family):
        raise UserError(f"{base}: {fault}")
    weights: set[str] = set()
    for path in place.glob("*.safetensors"):
        with safe_open(str(path), framework="pt") as file:
            weights.update(file.keys())
    repaired = _repaired(config, family, weights, place)
    with atomic_write(work / "base") as copy:
        shutil.copytree(base, copy, copy_function=_link_weights)
        inner = copy / place.relative_to(base)
        shutil.copy(Path(__file__).with_name(family.repair), inner)
        (inner / "config.json").write_text(json.dumps(repaired, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return work / "base"


def lift_code(saved: Path) -> None:
    """Copy the Python code in a saved router's module folders (inference-free SPLADE) to its root, where transformers looks for it.

    Call it on every folder that ``SparseEncoder.save_pretrained`` wrote; it does nothing if no module has code.
    """
    for config in saved.glob("*/config.json"):
        if _auto_map(read_json(config)):
            for code in config.parent.glob("*.py"):
                shutil.copy(code, saved)


def transformer_folder(base: Path) -> Path:
    """The folder of config.json: ``base``, or the transformer's folder in a sentence-transformers model."""
    modules = read_json(base / "modules.json")
    first = base / str(modules[0].get("path") or "") if modules else base
    routed = read_json(first / "router_config.json").get("types") or {}
    return first / next((part for part, kind in routed.items() if str(kind).endswith("Transformer")), "")


def family_of(config: Any) -> Family | None:
    """The family of an unrepaired model, by its config.json; None for any other model."""
    names = [str(name).rsplit(".", 1)[-1] for name in (*_auto_map(config).values(), *(config.get("architectures") or []))]
    if any(name.startswith("Repaired") for name in names):
        return None
    return next((family for family in FAMILIES if any(name.startswith(family.prefix) for name in names)), None)


def repair_fault(place: Path, family: Family, task: str = "fill-mask") -> str | None:
    """Why the code in ``place`` cannot be repaired for ``task``, and what to do; None if it can."""
    code = place / family.code
    if task not in ("fill-mask", "feature-extraction"):
        return f"is a {family.name} for {task}, whose code does not work with transformers 5; name another model"
    if not code.is_file():
        return f"lacks {family.code}, the code of {family.name}; name a complete model"
    classes = {node.name for node in ast.parse(code.read_text(encoding="utf-8")).body if isinstance(node, ast.ClassDef)}
    if missing := sorted(set(family.replaced) - classes):
        return (
            f"has no {', '.join(missing)} in {family.code}, which the repair of {family.name} for transformers 5 needs; "
            "pin another revision"
        )
    return None


def _auto_map(config: Any) -> dict[str, Any]:
    return dict(config.get("auto_map") or {})


def _repaired(config: dict[str, Any], family: Family, weights: set[str], place: Path) -> dict[str, Any]:
    """``config`` with the repaired classes and float32; the head is tied to the word embeddings if a file holds one weight for both."""
    module = family.repair.removesuffix(".py")
    auto_map = {key: local for key, value in _auto_map(config).items() if (local := _local(value, place))}
    auto_map["AutoModel"] = f"{module}.Repaired{family.prefix}Model"
    auto_map["AutoModelForMaskedLM"] = f"{module}.Repaired{family.prefix}ForMaskedLM"
    has_head = any(name.startswith("classifier.") for name in weights)
    kept = {key: value for key, value in config.items() if key != "torch_dtype"}
    return kept | {
        "architectures": [f"Repaired{family.prefix}{'ForMaskedLM' if has_head else 'Model'}"],
        "auto_map": auto_map,
        "dtype": "float32",  # in plain bf16 NorBERT's embeddings had errors of up to 0.2
        "tie_word_embeddings": family.always_tied or (has_head and not {EMBEDDINGS, family.head} <= weights),
    }


def _local(reference: Any, place: Path) -> str | None:
    """An auto_map entry without the repository that a fine-tuned model has in it (``owner/name--module.Class``).

    None if the folder has no such module, in which case nothing that is loaded needs it (see `own_code`).
    """
    name = str(reference).rpartition("--")[2]
    return name if (place / f"{name.split('.')[0]}.py").is_file() else None


def _link_weights(source: str, target: str) -> None:
    """Copy a file, or link to it if it holds weights."""
    if source.endswith(".safetensors"):
        Path(target).symlink_to(Path(source).resolve())
    else:
        shutil.copy(source, target)
