"""Make data/formatted/<name> from data/raw/<name>, for each training set of the profile: `python -m stages.format`."""

import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stages.config.params import read_resolved
from stages.format.cleaning import format_set
from stages.format.sources import reader
from stages.format.sources.chunk import Options
from stages.format.sources.folder import RawFolder
from stages.hub.manifest import MANIFEST
from stages.runtime.errors import run_stage
from stages.runtime.files import read_json
from stages.runtime.kept import digest, make_sets
from stages.runtime.root import place

RAW, FORMATTED = Path("data/raw"), Path("data/formatted")
KEPT = Path("checkpoints/sets/format")
CODE = ("format", "hub", "retrieval", "rows")


def main() -> str:
    sets = read_resolved("format")
    made_from = {name: digest(settings, [RAW / name], CODE) for name, settings in sets.items()}
    made = make_sets(FORMATTED, made_from, lambda name, folder: format_one(name, sets[name], folder), place(KEPT))
    splits = [report[split] for name in sets for report in [read_json(FORMATTED / name / "report.json")] for split in ("train", "dev")]
    return f"{made}; {sum(each['kept'] for each in splits):,} of {sum(each['read'] for each in splits):,} rows kept"


def format_one(name: str, settings: Mapping[str, Any], folder: Path) -> None:
    """Write the folder of one set, with the manifest of its source: its licence decides what push may do."""
    options = {key: value for key, value in settings.items() if key != "kind"}
    if settings["languages"] is not None:
        options["languages"] = tuple(settings["languages"])
    read = reader(settings["kind"])
    raw = RawFolder(RAW / name, folder.parent)
    format_set(name, lambda split: read(raw, split, Options(**options)), folder, raw)
    shutil.copy(RAW / name / MANIFEST, folder)
    for line in raw.warnings():
        print(f"warning: datasets.{name}: {line}", file=sys.stderr)


if __name__ == "__main__":
    run_stage(main)
