"""Stop a trial whose scores while training fall behind: below the median of the others' at the same step.

The median stopping rule, as in Golovin et al., "Google Vizier" (KDD 2017), but of best scores: a trial's best up to a step is compared with
the others' best up to that step. It needs training.eval_steps, and knows nothing of what only the evaluation measures, such as query cost.
"""

from statistics import median
from typing import Any

from stages.config.sweep import Prune
from stages.sweeps.state import Sweep

Entries = list[dict[str, Any]]


def falls_behind(sweep: Sweep, number: int, rule: Prune) -> str:
    """Why a trial should stop now, in words; "" if it should not."""
    own = sweep.progress(number)
    scored = [entry for entry in own if entry.get("score") is not None]
    if not scored or scored[-1]["step"] < max(1, rule.after_steps) or scored[-1]["step"] >= scored[-1]["steps"]:
        return ""
    step = scored[-1]["step"]
    others = [
        best for trial in sweep.trials() if trial.number != number and (best := _best(sweep.progress(trial.number), step)) is not None
    ]
    mine = _best(own, step)
    if len(others) < rule.after_trials or mine is None or mine >= (middle := median(others)):
        return ""
    return f"its best score {mine:.4f} at step {step} is below {middle:.4f}, the median of {len(others)} other trials"


def _best(entries: Entries, step: int) -> float | None:
    """The best score up to ``step`` of a trial that got that far."""
    if not entries or entries[-1]["step"] < step:
        return None
    return max((entry["score"] for entry in entries if entry["step"] <= step and entry.get("score") is not None), default=None)
