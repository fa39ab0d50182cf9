"""NorBERT 3 and 4 as bases: written for transformers 4, repaired by one file in a copy of the model's folder.

The repair has to live in the folder: a model repaired only in this process gives other embeddings, or none, when it is saved and
loaded without this project. `repaired_gptbert.py` (NorBERT 4) and `repaired_norbert.py` (NorBERT 3) are never imported here;
transformers imports them, with the model's own code, from the folder, once that base is allowed to bring code.
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
        name: as people say it.
        prefix: what its class names begin with.
        code: its modelling file.
        repair: the file added to it, whose classes are those of the family with Repaired before their names.
        replaced: classes of ``code`` that the repair builds on.
        head: the last linear map's weight.
        positions: the key of config.json that says how many positions there are; None: positions are relative.
        always_tied: whether that is the word embeddings in every model; else only where a file holds one weight for both.
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
    """The folder to build on: ``work/base``, a repaired copy, if ``base`` is an unrepaired NorBERT 3 or 4; else ``base``.

    Nothing of the folder is executed. Weights are linked, not copied. ``base`` is a masked language model, a plain encoder or a
    dense sentence-transformers model.

    Raises:
        UserError: a revision that the repair does not fit, or code that lies elsewhere.
    """
    place = transformer_folder(base)
    config = read_json(place / "config.json")
    family = family_of(config)
    if family is None:
        return base
    if fault := unfit(place, family):
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
    """Copy the code of a saved router's parts (inference-free SPLADE) to its root, which is where transformers looks for it.

    To be called on every folder that ``SparseEncoder.save_pretrained`` wrote; it does nothing where no part brings code.
    """
    for config in saved.glob("*/config.json"):
        if _auto_map(read_json(config)):
            for code in config.parent.glob("*.py"):
                shutil.copy(code, saved)


def transformer_folder(base: Path) -> Path:
    """Where config.json lies: ``base``, or the folder of the transformer that a sentence-transformers model's modules.json leads to."""
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


def unfit(place: Path, family: Family, task: str = "fill-mask") -> str | None:
    """Why the code in ``place`` cannot be repaired for ``task``, and what to do; None if it can."""
    code = place / family.code
    if task not in ("fill-mask", "feature-extraction"):
        return f"is a {family.name} for {task}, whose code does not run under transformers 5; name another model"
    if not code.is_file():
        return f"lacks {family.code}, where {family.name} has its code; name a complete model"
    classes = {node.name for node in ast.parse(code.read_text(encoding="utf-8")).body if isinstance(node, ast.ClassDef)}
    if missing := sorted(set(family.replaced) - classes):
        return (
            f"has no {', '.join(missing)} in {family.code}, and the repair of {family.name} for transformers 5 builds on that; "
            "pin another revision"
        )
    return None


def _auto_map(config: Any) -> dict[str, Any]:
    return dict(config.get("auto_map") or {})


def _repaired(config: dict[str, Any], family: Family, weights: set[str], place: Path) -> dict[str, Any]:
    """``config`` with the repaired classes, float32, and the embeddings tied if the file holds one weight for both."""
    module = family.repair.removesuffix(".py")
    auto_map = {key: local for key, value in _auto_map(config).items() if (local := _local(value, place))}
    auto_map["AutoModel"] = f"{module}.Repaired{family.prefix}Model"
    auto_map["AutoModelForMaskedLM"] = f"{module}.Repaired{family.prefix}ForMaskedLM"
    has_head = any(name.startswith("classifier.") for name in weights)
    kept = {key: value for key, value in config.items() if key != "torch_dtype"}
    return kept | {
        "architectures": [f"Repaired{family.prefix}{'ForMaskedLM' if has_head else 'Model'}"],
        "auto_map": auto_map,
        "dtype": "float32",  # NorBERT in plain bf16 gave errors up to 0.2 in the embeddings
        "tie_word_embeddings": family.always_tied or (has_head and not {EMBEDDINGS, family.head} <= weights),
    }


def _local(reference: Any, place: Path) -> str | None:
    """An auto_map entry without the repository (``owner/name--module.Class``) that saving a fine-tuned model leaves in it.

    None if the folder has no such module: nothing that is loaded needs it (see `own_code`).
    """
    name = str(reference).rpartition("--")[2]
    return name if (place / f"{name.split('.')[0]}.py").is_file() else None


def _link_weights(source: str, target: str) -> None:
    """Copy a file, but only link to weights."""
    if source.endswith(".safetensors"):
        Path(target).symlink_to(Path(source).resolve())
    else:
        shutil.copy(source, target)
