"""The settings of the mine stage: what finds negatives, and the teachers with how they see documents."""

from typing import Any

from stages.config.schema import Params
from stages.resolve.models import TEACHER, teachers


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
    folders = teachers(params)
    if mining.teachers:
        bm25 = params.evaluation.bm25.model_dump(exclude_none=True)
        values["teachers"] = [
            {"weight": teacher.weight}
            | ({"key": key, "folder": folders[key], "options": _options(params, teacher.model)} if key in folders else {"bm25": bm25})
            for place, teacher in enumerate(mining.teachers)
            for key in [f"{TEACHER}{place}.model"]
        ]
    if folders or mining.method == "both":
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
