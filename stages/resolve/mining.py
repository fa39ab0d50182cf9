"""The settings of the mine stage: what finds negatives, and the teachers with how they see documents."""

from typing import Any

from stages.config.schema import Params
from stages.resolve.models import teachers


def mining_settings(params: Params, names: list[str]) -> dict[str, Any]:
    """The settings of mining that its method uses, and the sets it works on."""
    mining = params.mining
    values: dict[str, Any] = {"datasets": names}
    if not names:
        return values
    values["method"] = mining.method
    if mining.method != "none":
        values |= mining.model_dump(include={"negatives", "relative_margin", "range_min", "range_max"})
    if mining.searches:
        values |= {"miner": _options(params, mining.model or "")}
    named = [(key, name, params.models_used()[key]) for key, name in teachers(params).items()]
    if named:
        values["teachers"] = [
            {"key": key, "folder": name, "weight": teacher.weight, "options": _options(params, model)}
            for (key, name, model), teacher in zip(named, mining.teachers, strict=True)
        ]
    if named or mining.method == "both":
        values["treatment"] = {
            "long_documents": params.model.long_documents,
            "window": params.model.window or params.model.max_seq_length,
            "overlap": params.model.overlap,
        }
    return values


def _options(params: Params, model: str) -> dict[str, Any]:
    """How sentence-transformers loads a model for mining."""
    entry = params.entry(model)
    return {"trust_remote_code": entry.trust_remote_code} | ({"prompts": given} if (given := entry.prompts.given()) else {})
