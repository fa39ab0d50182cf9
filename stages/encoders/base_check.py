"""Whether a base model can be trained as asked, found out before hours are spent: each failure is one line that says why.

A masked-LM head that the files lack would be drawn at random without a word; a head whose logits are all positive (NorBERT 4's, as
published) makes SPLADE 0% sparse, since relu never gives a zero; memory that nobody filled gives NaN, which trainers log as loss 0.
"""

import json
import logging
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from sentence_transformers import SparseEncoder
from sentence_transformers.base.modules import Transformer
from torch import Tensor
from transformers import AutoModelForMaskedLM
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from stages.encoders.norbert import transformer_folder
from stages.errors import UserError

PROBE = (
    "Hva er hovedstaden i Norge?",
    "Ho las boka om fiskarane på Vestlandet to gonger, og så gav ho henne til bror sin.",
    "Biblioteket i Aarhus holder åbent til klokken 20 på hverdage og lukker tidligere i weekenden.",
    "Tågen från Göteborg till Malmö är försenade på grund av snö.",
    "Wireless headphones with noise cancelling, 30 hours of battery life, black",
)
POSITIVE_LIMIT = 0.99  # of a token's logits; random weights give 0.5, a bounded head 1.0
CODE_NAMED_IN, CODE_KEYS = ("config.json", "tokenizer_config.json", "modules.json"), ("auto_map", "type")
HARMLESS = ("position_indices", "pooler.")  # NorBERT 3's table is computed; dense models pool by themselves


@dataclass(frozen=True)
class HeadProbe:
    """What a masked-LM head gives on `PROBE` before training.

    Attributes:
        positive_share: mean share of positive logits of a token, each text's first and last left out.
        active_dims: mean number of positive dimensions of a text, after the maximum over its tokens.
    """

    positive_share: float
    active_dims: float


def require_allowed_code(base: Path, name: str, allowed: bool) -> None:
    """Raise UserError if the model in ``base`` needs code of its own that params.yaml does not allow, or that nothing pins.

    Nothing is executed.

    Args:
        name: the model as params.yaml names it.
    """
    config = _read_json(transformer_folder(base) / "config.json")
    modules = _read_json(base / "modules.json") or []
    own_model = bool(config.get("auto_map")) and config.get("model_type") not in CONFIG_MAPPING
    own_modules = any(not str(module.get("type", "")).startswith("sentence_transformers.") for module in modules)
    if (own_model or own_modules) and not allowed:
        raise UserError(
            f"model.trust_remote_code: {name} brings Python code of its own, which runs only for a model named here; read the code, then "
            "add the name, or choose another model"
        )
    if allowed and (foreign := next(foreign_code(base), None)):
        raise UserError(
            f"model.trust_remote_code: {name} takes {foreign} from another repository, which nothing pins; name a model that holds its "
            "code itself"
        )


def foreign_code(base: Path) -> Iterator[str]:
    """References to code in another repository (``owner/name--module.Class``) that the JSON files of a model's folder hold."""
    for path in sorted([*base.glob("*.json"), *base.glob("*/*.json")]):
        if path.name in CODE_NAMED_IN:
            yield from (value for value in _strings(_read_json(path), CODE_KEYS) if "--" in value)


def _strings(value: Any, keys: Collection[str] | None) -> Iterator[str]:
    """Every string below one of ``keys``; of all keys with None."""
    if isinstance(value, dict):
        for key, each in value.items():
            yield from _strings(each, None if keys is None or key in keys else keys)
    elif isinstance(value, list):
        for each in value:
            yield from _strings(each, keys)
    elif isinstance(value, str) and keys is None:
        yield value


def require_masked_lm_head(base: Path, *, trust_remote_code: bool = False) -> None:
    """Raise UserError unless the files in ``base`` hold every weight of a masked language model.

    Args:
        trust_remote_code: whether the model's own code may run.
    """
    try:
        missing = missing_weights(AutoModelForMaskedLM, base, trust_remote_code=trust_remote_code)
    except ValueError as error:
        if "Unrecognized configuration class" not in str(error):
            raise
        raise UserError(f"model.base_model: {base} has no masked-LM form at all; name a …ForMaskedLM model, or use csr") from error
    if missing:
        raise UserError(
            f"model.base_model: {base} has no complete masked-LM head: {_named(missing)} not in its files and would be random; "
            "name a …ForMaskedLM model, or use csr"
        )


def require_sound(model: SparseEncoder, base: Path, limit: float = POSITIVE_LIMIT) -> list[HeadProbe]:
    """Raise UserError unless ``model``, as built on ``base`` and not yet trained, has all weights, is finite and can be sparse.

    Call it before `splade_head.attach`, which hides the logits.

    Args:
        limit: share of positive logits above which a head counts as one that gives no zeros.

    Returns:
        one entry a masked language model in it; none for CSR.
    """
    transformers = [module for module in model.modules() if isinstance(module, Transformer)]
    for transformer in transformers:
        missing = missing_weights(type(transformer.model), transformer_folder(base))
        if missing:
            raise UserError(f"model.base_model: {base} is incomplete: {_named(missing)} not in its files; name a complete model")
    require_finite(model, f"model.base_model: {base}")
    return [require_zeros(transformer, base, limit) for transformer in transformers if transformer.transformer_task == "fill-mask"]


def require_finite(model: SparseEncoder, what: str) -> None:
    """Raise UserError unless ``model`` gives only finite numbers on a padded batch; call it after every load.

    Args:
        what: the key or folder that the line names.
    """
    embeddings = model.encode_document(list(PROBE), batch_size=len(PROBE), convert_to_sparse_tensor=False)
    if not torch.isfinite(torch.as_tensor(embeddings)).all():
        raise UserError(
            f"{what} gives NaN or infinite values before any training; its code may not suit the installed transformers, or its weights "
            "are damaged"
        )


def require_zeros(transformer: Transformer, base: Path, limit: float = POSITIVE_LIMIT) -> HeadProbe:
    """Raise UserError if nearly all logits of a masked language model are positive, or none is."""
    probe = probe_head(transformer)
    if probe.positive_share > limit:
        raise UserError(
            f"model.base_model: the masked-LM head of {base} gives positive logits for {probe.positive_share:.1%} of the vocabulary, so "
            "that relu gives SPLADE no zeros and the model stays dense; name another base (NorBERT 3 and 4 are repaired by themselves)"
        )
    if probe.active_dims == 0:
        raise UserError(
            f"model.base_model: the masked-LM head of {base} gives no positive logit on any of {len(PROBE)} texts, so that SPLADE starts "
            "with empty vectors and learns nothing; name another base"
        )
    return probe


@torch.no_grad()
def probe_head(transformer: Transformer) -> HeadProbe:
    """Logits of ``transformer`` on `PROBE`, summed up; its mode (training or not) is as before afterwards."""
    training = transformer.training
    transformer.eval()
    features: dict[str, Any] = transformer.preprocess(list(PROBE))
    features = {key: value.to(transformer.model.device) if isinstance(value, Tensor) else value for key, value in features.items()}
    mask = features["attention_mask"].bool()
    logits: Tensor = transformer(features)["token_embeddings"]
    transformer.train(training)
    shares, active = [], []
    for rows in (text[real] for text, real in zip(logits, mask, strict=True)):
        shares.append((rows[1:-1] > 0).float().mean().item())  # NorBERT 4's first row is a constant
        active.append((rows.amax(0) > 0).sum().item())
    return HeadProbe(positive_share=sum(shares) / len(shares), active_dims=sum(active) / len(active))


def missing_weights(loader: Any, folder: Path, **kwargs: Any) -> list[str]:
    """Names of the weights that a model needs and ``folder`` does not hold; no weight is read.

    Args:
        loader: a model's class, or one of transformers' AutoModel classes.
    """
    with _quiet_transformers():
        _, info = loader.from_pretrained(str(folder), device_map="meta", output_loading_info=True, **kwargs)
    return sorted(key for key in info["missing_keys"] if not any(part in key for part in HARMLESS))


@contextmanager
def _quiet_transformers() -> Iterator[None]:
    """Without the report on every load: who gets the line of a UserError does not need a table as well."""
    logger = logging.getLogger("transformers")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _named(missing: list[str]) -> str:
    return f"{missing[0]} is" if len(missing) == 1 else f"{missing[0]} and {len(missing) - 1} more weights are"


def _read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
