"""Make data/formatted/<profile>/<name> from data/raw/<name>: `python -m stages.format PROFILE NAME`."""

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from stages.config.params import read_resolved
from stages.format.cleaning import format_set
from stages.format.sources import reader
from stages.format.sources.chunk import Options
from stages.format.sources.folder import RawFolder
from stages.hub.manifest import MANIFEST
from stages.runtime.errors import UserError, run_stage

RAW, FORMATTED = Path("data/raw"), Path("data/formatted")


def main(arguments: Sequence[str]) -> None:
    if len(arguments) != 2:
        raise UserError("usage: python -m stages.format PROFILE NAME")
    profile, name = arguments
    settings = read_resolved(f"format/{name}")
    languages = settings["languages"]
    options = Options(
        language=settings["language"],
        languages=None if languages is None else tuple(languages),
        dataset_languages=settings["dataset_languages"],
        locale=settings["locale"],
        split=settings["split"],
        passage_words=settings["passage_words"],
        unanswerable=settings["unanswerable"],
        max_tokens=settings["max_tokens"],
        **{key: settings[key] for key in ("unknown_ids",) if key in settings},
    )
    read = reader(settings["kind"])
    raw = RawFolder(RAW / name)
    format_set(name, lambda split: read(raw, split, options), FORMATTED / profile / name, raw)
    shutil.copy(RAW / name / MANIFEST, FORMATTED / profile / name)  # whose licence push goes by
    for line in raw.warnings():
        print(f"warning: datasets.{name}: {line}", file=sys.stderr)


if __name__ == "__main__":
    run_stage(lambda: main(sys.argv[1:]))
