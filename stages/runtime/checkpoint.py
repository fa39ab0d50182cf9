"""A checkpoint-N folder of transformers' trainer: whether it is complete, and its step."""

import json
import re
from pathlib import Path

STATE = "trainer_state.json"


def step_of(checkpoint: Path) -> int:
    """The N of checkpoint-N."""
    return int(checkpoint.name.removeprefix("checkpoint-"))


def incomplete(checkpoint: Path) -> str | None:
    """Why a folder is not a checkpoint that can be resumed from; None if it is one.

    trainer_state.json is written last; a kill or a full disk leaves it missing or truncated.
    """
    if not re.fullmatch(r"checkpoint-\d+", checkpoint.name):
        return "is not called checkpoint-N"
    if not checkpoint.is_dir():
        return "does not exist"
    try:
        state = json.loads((checkpoint / STATE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return f"is incomplete (no complete {STATE})"
    return None if isinstance(state, dict) and state.get("global_step") == step_of(checkpoint) else f"has the {STATE} of another step"
