"""What the training rows of a run were: how many of each set were used, and why the others were not."""

from collections.abc import Mapping
from typing import Any

REASONS = {
    "removed_evaluation_overlap": "in an evaluation set",
    "removed_dev_overlap": "in dev rows",
    "removed_duplicate_of_earlier_set": "in an earlier set",
    "removed_repeats_itself": "say one text twice",
    "removed_without_scores": "without a teacher's scores",
    "tail_dropped": "too few for one more batch",
    "unused": "left over by mix.stopping or max_rows",
}
"""Counts of metrics/mix.json, in words."""


def account(formatted: Mapping[str, Any], mixed: Mapping[str, Any]) -> str:
    """A text table with a line per training set, and below it what its source has to say; no line break at the end.

    Args:
        formatted: metrics/data.json.
        mixed: metrics/mix.json.
    """
    rows = [["training set", "rows", "used per epoch"]]
    remarks = [["not used"]]
    notes = []
    for name, counts in mixed["sources"].items():
        train = formatted[name]["train"]
        rows.append([name, str(train["read"]), str(counts["used"])])
        left_out = train["dropped"] | {reason: counts.get(key, 0) for key, reason in REASONS.items()}
        remarks.append([f"{number} {reason}" for reason, number in left_out.items() if number])
        notes += [f"{name}: {number} {note}" for note, number in train.get("notes", {}).items()]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    lines = [
        "  ".join([name.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(cells, widths[1:], strict=True)), ", ".join(remark)])
        for (name, *cells), remark in zip(rows, remarks, strict=True)
    ]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:], *notes])
