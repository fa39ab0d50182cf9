"""Bring one data set, evaluation set, the MTEB data or the base model to where the later stages expect it.

`python -m stages.download dataset|evaluation|model NAME` and `python -m stages.download mteb`. After this stage nothing
needs the network. Beside the files lies manifest.json: where they come from, their licence, their checksums. A set that the profile does
not use is only marked as unused: dvc.yaml lists every set.
"""

import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stages.config.own_paths import local_files, place
from stages.config.params import read_resolved
from stages.hub.manifest import manifest, write_manifest
from stages.runtime.errors import UserError, run_stage
from stages.runtime.files import atomic_write, mark_unused

if TYPE_CHECKING:
    from stages.retrieval.texts import Role

RAW, EVALUATION, MTEB = Path("data/raw"), Path("data/eval"), Path("data/mteb")
MODELS = Path("models")
DOWNLOADS = Path(".downloads")
"""What is under way, outside DVC's outputs: a download that was killed goes on from there."""
PATIENCE = "DOWNLOAD_PATIENCE"
"""Environment variable: seconds for which a Hub that fails is asked again, 60 where it is not set."""


def main(arguments: Sequence[str]) -> None:
    match arguments:
        case ["dataset", name]:
            fetch(read_resolved("download")[name], RAW / name, f"datasets.{name}", "dataset")
        case ["evaluation", name]:
            fetch(read_resolved("download_eval")[name], EVALUATION / name, f"evaluation.sets.{name}", "dataset")
        case ["mteb"]:
            settings = read_resolved("download_mteb")
            fetch_mteb(settings["tasks"], settings["path"], MTEB)
        case ["model", name]:
            settings = read_resolved("download_models")
            fetch_model(settings[name], MODELS / name, settings["architecture"], settings["max_seq_length"])
        case _:
            raise UserError("usage: python -m stages.download dataset NAME | evaluation NAME | mteb | model base|miner|cross-encoder")


def fetch_model(origin: Mapping[str, Any], target: Path, architecture: str, max_seq_length: int) -> None:
    """Write the folder ``target``, named base, miner or cross-encoder, with a model that can be used as that.

    Args:
        origin: ``chosen``, and then ``key`` (names it in error lines), ``repo`` with ``revision`` or ``path``, ``trust_remote_code``.
        architecture: splade, inference-free-splade or csr; for the base. max_seq_length: its tokens.

    Raises:
        UserError: it does not exist, cannot be reached, or cannot be used. What came down is kept for the next try.
    """
    if not origin["chosen"]:
        mark_unused(target)
        return
    key, name = origin["key"], origin["repo"] or origin["path"]
    length = max_seq_length if target.name == "base" else None

    def check(folder: Path, complete: bool) -> None:
        from stages.pretrained.check import check_model, check_small_files
        from stages.pretrained.files import Use, use_as

        use = use_as(target.name, folder, Use(key, name, "", origin["trust_remote_code"], length), architecture)
        (check_model if complete else check_small_files)(folder, use)

    if origin["repo"]:
        with ExitStack() as downloads:
            files, about = _snapshot(downloads, {"kind": "model", **origin}, key, "model", inspect=partial(check, complete=False))
            check(files, complete=True)
            with atomic_write(target) as folder:
                write_manifest(files, about)
                shutil.move(files, folder)
    else:
        check(place(name), complete=True)
        with atomic_write(target) as folder:
            folder.mkdir()
            _copy(place(name), folder, key)
            write_manifest(folder, manifest(folder, kind="model"))


def fetch(origin: Mapping[str, Any], target: Path, key: str, repo_type: str) -> None:
    """Write the folder ``target`` from the origin: a pinned Hub snapshot, a local folder or file, or the built-in sample.

    Args:
        origin: ``chosen``, ``kind`` and one of ``repo`` with ``revision``, ``path``, ``sample``.
        key: the key of params.yaml that error lines name.
        repo_type: "dataset" or "model".

    Raises:
        UserError: the place does not exist, cannot be reached or holds nothing that the kind reads.
    """
    if not origin["chosen"]:
        mark_unused(target)
    elif origin.get("benchmark"):
        fetch_benchmark(origin["benchmark"], origin["subset"], target, key)
    elif origin.get("repo"):
        with ExitStack() as downloads:
            files, about = _snapshot(downloads, origin, key, repo_type)
            with atomic_write(target) as folder:
                write_manifest(files, about)
                shutil.move(files, folder)
    else:
        with atomic_write(target) as folder:
            folder.mkdir()
            if origin.get("sample"):
                _write_sample(origin["sample"], folder, key)
            else:
                _copy(place(origin["path"]), folder, f"{key}.path")
            write_manifest(folder, manifest(folder, kind=origin.get("kind")))


def fetch_benchmark(name: str, subset: str, target: Path, key: str) -> None:
    """Write ``target`` in NanoBEIR's form: a split for each task of mteb's benchmark ``name``, each at the revision that mteb pins."""
    from stages.download.benchmark import lay_out, matching, part_patterns, set_name
    from stages.hub.wanted import CARD
    from stages.retrieval.mteb import benchmark_tasks, required_datasets

    with ExitStack() as downloads:
        snapshots = {}
        for task, (repo, revision) in required_datasets(benchmark_tasks(name)).items():
            origin = {"repo": repo, "revision": revision, "kind": "nanobeir"}
            with ExitStack() as first:  # in a place of its own: it must not clear away what is there of the files
                card, _ = _snapshot(first, origin, key, "dataset", lambda paths: {CARD} & set(paths), DOWNLOADS / "cards")
                text = (card / CARD).read_text(encoding="utf-8", errors="replace") if (card / CARD).exists() else ""
            patterns = part_patterns(text, subset, repo, key)

            def needed(paths: Sequence[str], patterns: dict[str, list[str]] = patterns, repo: str = repo) -> set[str]:
                if lacking := [part for part, some in patterns.items() if not matching(paths, some)]:
                    raise UserError(f"{key}: {repo} lacks the files that its card names for {subset}-{lacking[0]}; set enabled: false")
                return {CARD}.union(*(matching(paths, some) for some in patterns.values()))

            snapshots[task] = (*_snapshot(downloads, origin, key, "dataset", needed), patterns)
        with atomic_write(target) as folder:
            folder.mkdir()
            write_manifest(folder, {task: about for task, (_, about, _) in snapshots.items()})
            for task, (files, _, patterns) in snapshots.items():
                lay_out(files, patterns, set_name(task), folder)


def fetch_mteb(tasks: Sequence[str], path: str | None, target: Path) -> None:
    """Write ``target/<task>/`` for each MTEB task: from ``path/<task>/`` where given, else from the Hub at the revision mteb pins.

    The manifest stands in ``target``, by task: within a task's folder `datasets` would read it as rows. So do the tasks' texts
    (`stages.retrieval.texts`), for which each task is loaded as mteb will load it: one that does not load stops here, not after the
    training run, and what was downloaded stays in `DOWNLOADS` for the next try.
    """
    if not tasks:
        mark_unused(target)
        return
    from stages.download.mteb_sources import hub_tasks, local_tasks
    from stages.retrieval.mteb import task_texts
    from stages.retrieval.texts import TEXTS, write_texts

    with ExitStack() as downloads:
        sources = local_tasks(tasks, place(path)) if path else hub_tasks(tasks, downloads, _snapshot, DOWNLOADS)

        def texts(task: str) -> "Iterator[tuple[Role, str]]":
            sources[task].describe(sources[task].files)
            yield from task_texts(task, sources[task].files)

        with atomic_write(target) as folder:
            folder.mkdir()
            write_texts(folder / TEXTS, {task: texts(task) for task in tasks})
            placed: dict[Path, Path] = {}
            for task, source in sources.items():
                if path:
                    _copy(source.files, folder / task, "evaluation.mteb_path")
                elif source.files in placed:
                    shutil.copytree(placed[source.files], folder / task)
                else:
                    placed[source.files] = Path(shutil.move(source.files, folder / task))
                source.describe(folder / task)
            write_manifest(folder, {task: source.about or manifest(folder / task, kind="mteb") for task, source in sources.items()})


def _snapshot(
    downloads: ExitStack,
    origin: Mapping[str, Any],
    key: str,
    repo_type: str,
    select: Callable[[Sequence[str]], set[str]] | None = None,
    store: Path = DOWNLOADS,
    inspect: Callable[[Path], None] | None = None,
) -> tuple[Path, dict[str, Any]]:
    """The folder of a complete snapshot, which is the caller's to move until ``downloads`` closes, and its manifest.

    ``select`` says which of the repository's files are needed; else those that the kind reads. ``inspect``: see `stages.hub.snapshot`.
    """
    from stages.hub.repository import Source
    from stages.hub.snapshot import snapshot

    repo, revision, kind = origin["repo"], origin["revision"], origin["kind"]
    source = Source(repo, revision, repo_type, key)
    chosen = select or partial(_select, origin=origin, key=key)
    files, listed = downloads.enter_context(snapshot(source, chosen, store, inspect=inspect, patience=_patience()))
    digests = {file.path: file.sha256 for file in listed if file.sha256}
    return files, manifest(files, kind=kind, repo=repo, revision=revision, digests=digests)


def _select(paths: Sequence[str], origin: Mapping[str, Any], key: str) -> set[str]:
    """The files of a repository that are needed; `UserError` before the first comes down where they would be no use."""
    from stages.hub.wanted import CARD, patterns, wanted

    repo, kind, code = origin["repo"], origin["kind"], bool(origin.get("trust_remote_code"))
    needed = set(filter(wanted(kind, code), paths))
    if kind == "model" and not any(path.endswith(".safetensors") for path in needed):
        raise UserError(
            f"{key}: {repo} has no safetensors weights at this revision, and pickled ones are not loaded; "
            "look for a branch that has them (such as refs/pr/1), or name another model"
        )
    if not needed - {CARD}:
        names = ", ".join(patterns(kind, code))
        raise UserError(f"{key}: {repo} has no file that kind {kind} reads ({names}); choose another kind, or a revision that has one")
    return needed


def _patience() -> float:
    given = os.environ.get(PATIENCE, "60")
    try:
        return max(0.0, float(given))
    except ValueError as error:
        raise UserError(f"{PATIENCE}: is {given!r}; give a number of seconds, or unset it") from error


def _write_sample(name: str, folder: Path, key: str) -> None:
    from stages import sample

    if name in sample.DATASETS:
        sample.write_dataset(name, folder)
    elif name in sample.EVALUATION_SETS:
        sample.write_evaluation_set(name, folder)
    else:
        raise UserError(f"{key}.sample: there is no {name!r}; use one of {', '.join((*sample.DATASETS, *sample.EVALUATION_SETS))}")


def _copy(path: Path, folder: Path, key: str) -> None:
    """Copy a local folder or file, without what is hidden and without a manifest of its own."""
    if not path.exists():
        raise UserError(f"{key}: {path} does not exist; correct the path")
    try:
        for name, file in local_files(path).items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(file, folder / name)
    except OSError as error:
        raise UserError(f"{key}: {path} cannot be copied ({error}); correct that, then run `dvc repro` again") from error


if __name__ == "__main__":
    run_stage(lambda: main(sys.argv[1:]))
