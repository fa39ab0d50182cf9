"""Download or copy the profile's data sets, evaluation sets, MTEB data or one model: after this no stage needs the network.

`python -m stages.download datasets|evaluation|mteb` and `model base|miner|teachers|compare|dense`.
Beside the files lies manifest.json: where they come from, their licence, their checksums.
"""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stages import sample
from stages.config.params import read_resolved
from stages.download.benchmark import fetch_benchmark
from stages.download.files import fetch_files
from stages.download.models import fetch_model
from stages.hub.manifest import manifest, write_manifest
from stages.runtime.errors import UserError, run_stage
from stages.runtime.files import atomic_write, mark_unused
from stages.runtime.kept import digest, make_sets
from stages.runtime.root import place

RAW, EVALUATION, MTEB = Path("data/raw"), Path("data/eval"), Path("data/mteb")
MODELS = Path("models")
TEACHERS = MODELS / "teachers"
KEPT = Path("checkpoints/sets")


def main(arguments: Sequence[str]) -> str | None:
    match arguments:
        case ["datasets"]:
            return fetch_sets("download", RAW, "datasets")
        case ["evaluation"]:
            return fetch_sets("download_eval", EVALUATION, "evaluation.sets")
        case ["mteb"]:
            settings = read_resolved("download_mteb")
            if not settings["tasks"]:
                mark_unused(MTEB)
                return None
            from stages.download.mteb_sources import fetch_mteb

            return f"{len(fetch_mteb(settings['tasks'], settings['path'], MTEB, settings['languages']))} MTEB tasks"
        case ["model", "teachers"]:
            origins = read_resolved("download_models/teachers")
            made_from = {name: digest(origin) for name, origin in origins.items()}
            made = make_sets(
                TEACHERS, made_from, lambda name, target: fetch_model(origins[name], target, role="teacher"), place(KEPT / "teachers")
            )
            return f"teachers: {made}".replace("set", "model") if origins else None
        case ["model", name]:
            settings = read_resolved(f"download_models/{name}")
            fetch_model(settings, MODELS / name, settings.get("architecture", ""), settings.get("max_seq_length"))
            return f"{name} model" if settings["chosen"] else None
        case _:
            raise UserError("usage: python -m stages.download datasets | evaluation | mteb | model base|miner|teachers|compare|dense")


def fetch_sets(stage: str, folder: Path, table: str) -> str:
    """Write a folder for each set of resolved/<stage>.yaml; ``table`` is the part of params.yaml that error lines name."""
    sets = read_resolved(stage)
    made_from = {name: digest(origin) for name, origin in sets.items()}
    return make_sets(folder, made_from, lambda name, target: fetch(sets[name], target, f"{table}.{name}"), place(KEPT / stage))


def fetch(origin: Mapping[str, Any], target: Path, key: str) -> None:
    """Write the folder ``target`` from the origin: a pinned Hub snapshot, a local folder or file, or the built-in sample.

    Args:
        origin: ``kind`` and one of ``repo`` with ``revision``, ``path``, ``sample``.
        key: the key of params.yaml that error lines name.

    Raises:
        UserError: the place does not exist, cannot be reached or holds nothing that the kind reads.
    """
    if origin.get("benchmark"):
        fetch_benchmark(origin["benchmark"], origin["subset"], target, key)
    elif name := origin.get("sample"):
        if name not in (*sample.DATASETS, *sample.EVALUATION_SETS):
            raise UserError(f"{key}.sample: there is no {name!r}; use one of {', '.join((*sample.DATASETS, *sample.EVALUATION_SETS))}")
        with atomic_write(target) as folder:
            sample.write_set(name, folder)
            write_manifest(folder, manifest(folder, kind=origin.get("kind")))
    else:
        fetch_files(origin, target, key, "dataset")


if __name__ == "__main__":
    run_stage(lambda: main(sys.argv[1:]))
