"""Check that a model's files are complete and fit params.yaml. Nothing is executed, and only the headers of weights are read.

The rules are the same for every model that params.yaml names, as a folder of transformers or of sentence-transformers. The checks take
milliseconds, so resolve runs them too. `own_code` checks the Python code a model needs, `check` loads the model.
"""

from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Required

from pydantic import AfterValidator, TypeAdapter, ValidationError
from safetensors import SafetensorError, safe_open
from typing_extensions import TypedDict

from stages.config.plain import shorten
from stages.pretrained.norbert import family_of, transformer_folder
from stages.runtime.errors import UserError
from stages.runtime.files import read_json

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
POINTER = b"version https://git-lfs.github.com/spec/"  # first bytes of a file that Git LFS has not downloaded
POSITIONS = (".position_embeddings.weight", ".embed_positions.weight", ".wpe.weight")
OFFSET_FAMILIES = (  # their positions start at pad_token_id + 1
    "roberta", "xlm-roberta", "xlm-roberta-xl", "roberta-prelayernorm", "camembert", "mpnet", "longformer", "data2vec-text", "xmod",
    "ibert", "esm", "bart", "mbart", "luke", "mluke", "lilt",
)  # fmt: skip
CROSS_ENCODER = "cross-encoder"
FLOATS = ("F64", "F32", "F16", "BF16")  # types of weights that can be trained; any other type means a quantised model


def _inside(path: str) -> str:
    if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
        raise ValueError("outside the folder")
    return path


class Module(TypedDict, total=False):
    type: Required[str]
    path: Annotated[str, AfterValidator(_inside)] | None


FIELDS: dict[str, Any] = {  # the fields that are read from a model's JSON files, and their types; each may be missing or null
    "config.json": {
        "model_type": str, "architectures": list, "auto_map": dict, "max_position_embeddings": int, "pad_token_id": int
    },
    "tokenizer_config.json": {"auto_map": dict | list | str, "tokenizer_class": str, "model_max_length": int | float},
    "sentence_bert_config.json": {"max_seq_length": int, "transformer_task": str},
    "config_sentence_transformers.json": {"prompts": dict, "model_type": str},
    "router_config.json": {"types": dict},
    INDEX: {"weight_map": dict[str, str]},
}  # fmt: skip
SCHEMAS: dict[str, TypeAdapter[Any]] = {
    name: TypeAdapter(TypedDict(name, {field: kind | None for field, kind in fields.items()}, total=False))  # type: ignore[operator,misc]
    for name, fields in FIELDS.items()
} | {"modules.json": TypeAdapter(list[Module])}


@dataclass(frozen=True)
class Use:
    """A model and what it is used for.

    Attributes:
        key: the model's key in params.yaml, for errors, such as ``models.norbert3-base``.
        name: its Hub repository or folder.
        task: what it is loaded for, as transformers names tasks: fill-mask, feature-extraction, sequence-classification, …
        trusted: whether its own code may run.
        max_seq_length: number of tokens that texts are cut to; None: the limit in its files.
        permission: how to allow its code, for errors.
    """

    key: str
    name: str
    task: str
    trusted: bool = False
    max_seq_length: int | None = None
    permission: str = "set trust_remote_code to true in its entry of `models`"

    def error(self, fault: str) -> UserError:
        """A one-line error; ``fault`` says what is wrong with the model and what to do."""
        return UserError(f"{self.key}: {self.name} {fault}")


def require_readable(folder: Path, use: Use) -> None:
    """Raise UserError unless a model's JSON files are well-formed, its config.json exists and no file is a Git LFS pointer."""
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        with path.open("rb") as file:
            if file.read(len(POINTER)) == POINTER:
                raise use.error(
                    f"has a Git LFS pointer instead of {path.relative_to(folder)}; run `git lfs pull` there, or copy the file itself"
                )
        if path.name in SCHEMAS:
            _require_json(path, folder, use)
    place = transformer_folder(folder)
    if not (place / "config.json").is_file() and not is_static(folder):
        raise use.error(f"has no {(place / 'config.json').relative_to(folder)}; name a model that transformers can load")


def require_complete_weights(folder: Path, use: Use) -> None:
    """Raise UserError unless the weights to be loaded exist as safetensors and are not truncated."""
    place = transformer_folder(folder)
    if not (place / WEIGHTS).is_file():
        if not (place / INDEX).is_file():
            raise use.error(f"has no {WEIGHTS}, and pickled weights are not loaded; save it as safetensors, or name another model")
        index = read_json(place / INDEX).get("weight_map") or {}
        held = {shard: shapes(place / shard, use) if (place / shard).is_file() else {} for shard in set(index.values())}
        if lacking := [(shard, name) for name, shard in index.items() if name not in held[shard]]:
            shard, name = min(lacking)
            raise use.error(f"lacks {name}, which {INDEX} expects in {shard}; complete it, or name another model")
    for path in sorted([*folder.glob("*.safetensors"), *folder.glob("*/*.safetensors")]):
        shapes(path, use)


def require_positions(folder: Path, use: Use) -> None:
    """Raise UserError if texts may have more tokens than the model has positions."""
    limit = positions(folder, use)
    if limit is None:
        return
    if use.max_seq_length is not None and use.max_seq_length > limit:
        raise UserError(
            f"model.max_seq_length must be at most {limit}, the number of positions of {use.name} ({use.key}), got {use.max_seq_length}; "
            "lower it, or name another model"
        )
    if use.max_seq_length is None and (own := _own_length(folder)) > limit:
        raise use.error(
            f"cuts texts at {own:,} tokens but has only {limit:,} positions; set model_max_length in its tokenizer_config.json, or name "
            "another model"
        )


def _own_length(folder: Path) -> int:
    """The number of tokens at which sentence-transformers cuts texts by default."""
    place = transformer_folder(folder)
    if given := read_json(place / "sentence_bert_config.json").get("max_seq_length"):
        return int(given)
    tokenizer, config = read_json(place / "tokenizer_config.json"), read_json(place / "config.json")
    return int(min(filter(None, (tokenizer.get("model_max_length"), config.get("max_position_embeddings"))), default=0))


def positions(folder: Path, use: Use) -> int | None:
    """Number of tokens of the longest text that the model has positions for; None if positions are relative or computed."""
    place = transformer_folder(folder)
    config = read_json(place / "config.json")
    family = family_of(config)
    if family:
        return int(config[family.positions]) if family.positions else None
    for path in sorted(place.glob("*.safetensors")):
        for name, shape in shapes(path, use).items():
            if f".{name}".endswith(POSITIONS):
                padding = config.get("pad_token_id")
                return shape[0] - (0 if config.get("model_type") not in OFFSET_FAMILIES else 2 if padding is None else padding + 1)
    return None


def shapes(path: Path, use: Use) -> dict[str, list[int]]:
    """Shapes of the tensors in a safetensors file, by name.

    Raises:
        UserError: the file is truncated or damaged, or its weights are quantised.
    """
    try:
        with safe_open(str(path), framework="np") as file:
            parts = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 – no mapping
    except (SafetensorError, OSError) as error:
        size = path.stat().st_size
        raise use.error(f"has a truncated or damaged {path.name} of {size:,} bytes; download it again, or name another model") from error
    if quantised := [name for name, part in parts.items() if name.endswith("weight") and part.get_dtype() not in FLOATS]:
        raise use.error(
            f"has weights of type {parts[quantised[0]].get_dtype()} ({quantised[0]} in {path.name}), which cannot be trained; "
            "name the model that it was quantised from"
        )
    return {name: part.get_shape() for name, part in parts.items()}


def use_as(role: str, folder: Path, use: Use, architecture: str) -> Use:
    """``use`` with the task of a model in its role, of which ``folder`` needs to hold only the small files.

    Raises:
        UserError: `require_readable` refuses them, or a model to compare is not sparse, or evaluation.dense not dense.
    """
    require_readable(folder, use)
    if role == "compare" and not is_sparse(folder):
        raise use.error("is not a sparse model of sentence-transformers, and only those can be compared; name a SparseEncoder")
    if role == "dense" and (is_sparse(folder) or task_of(folder, role) != "feature-extraction"):
        raise use.error("is not a dense model, as evaluation.dense must be; name a dense sentence-transformers model")
    if role == "teacher" and kind_of(folder) is None:
        raise use.error(
            "is no teacher: it has no classification head (…ForSequenceClassification) and no modules.json of sentence-transformers; "
            "name a cross-encoder, or a dense or sparse model"
        )
    return replace(use, task=task_of(folder, role, architecture))


def task_of(folder: Path, role: str, architecture: str = "") -> str:
    """The task to load a model for: a base model's depends on ``architecture``, any other's on its files or else on its role."""
    if role == "base":
        return "feature-extraction" if architecture == "csr" else "fill-mask"
    if any(str(module.get("type")).endswith(".MLMTransformer") for module in read_json(folder / "modules.json") or []):
        return "fill-mask"
    if role == "teacher":
        role = kind_of(folder) or role
    usual = {**dict.fromkeys(("miner", "dense", "sparse"), "feature-extraction"), CROSS_ENCODER: "sequence-classification"}
    return str(read_json(transformer_folder(folder) / "sentence_bert_config.json").get("transformer_task") or usual.get(role, "fill-mask"))


def is_static(folder: Path) -> bool:
    """Whether the folder holds a static model: token vectors without a transformer, and so without config.json."""
    modules = read_json(folder / "modules.json")
    return bool(modules) and str(modules[0].get("type")).endswith("StaticEmbedding")


def is_sparse(folder: Path) -> bool:
    """Whether the folder holds a sparse model of sentence-transformers, by its settings or (old versions) by a module's name."""
    if kind := read_json(folder / "config_sentence_transformers.json").get("model_type"):
        return bool(kind == "SparseEncoder")
    return any("sparse_encoder" in str(module.get("type")) for module in read_json(folder / "modules.json") or [])


def kind_of(folder: Path) -> str | None:
    """What a teacher is: dense, sparse or `CROSS_ENCODER`; None if its files do not say."""
    named = read_json(folder / "config_sentence_transformers.json").get("model_type")
    heads = read_json(transformer_folder(folder) / "config.json").get("architectures") or []
    if named == "CrossEncoder" or (not named and any(str(head).endswith("ForSequenceClassification") for head in heads)):
        return CROSS_ENCODER
    return "sparse" if is_sparse(folder) else "dense" if (folder / "modules.json").is_file() else None


def _require_json(path: Path, folder: Path, use: Use) -> None:
    """Raise UserError unless a file is valid JSON whose `FIELDS` have the right types."""
    name = path.relative_to(folder)
    try:
        SCHEMAS[path.name].validate_json(path.read_bytes(), strict=True)
    except ValidationError as error:
        fault = error.errors()[0]
        given = shorten(repr(fault["input"]))
        field = next((part for part in fault["loc"] if isinstance(part, str)), "")
        what = {
            "json_invalid": "is not valid JSON",
            "missing": f"has a module without a {field}",
            "value_error": f"names a module outside the model's folder ({given})",
        }.get(fault["type"], f"sets {field} to {given}" if field else f"is {given}")
        raise use.error(f"has a {name} that {what}; name a complete model") from error
