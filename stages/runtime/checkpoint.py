"""A checkpoint-N folder of transformers' trainer: is it complete, and of which step?"""

import json
import re
from pathlib import Path

STATE = "trainer_state.json"


def step_of(checkpoint: Path) -> int:
    """The N of checkpoint-N."""
    return int(checkpoint.name.removeprefix("checkpoint-"))


def incomplete(checkpoint: Path) -> str | None:
    """What keeps a folder from being a checkpoint to go on from; None where nothing does.

    Its trainer_state.json is written last, and is not valid JSON where a kill or a full disk cut it off.
    """
    if not re.fullmatch(r"checkpoint-\d+", checkpoint.name):
        return "is not called checkpoint-N"
    if not checkpoint.is_dir():
        return "does not exist"
    try:
        state = json.loads((checkpoint / STATE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return f"was not written to its end (no complete {STATE})"
    return None if isinstance(state, dict) and state.get("global_step") == step_of(checkpoint) else f"holds the {STATE} of another step"
