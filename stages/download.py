"""Bring one data set, evaluation set, the MTEB data or the base model to where the later stages expect it.

`python -m stages.download dataset|evaluation NAME` and `python -m stages.download mteb|base`. After this stage nothing needs the network.
A set that the profile does not use is only marked as unused: dvc.yaml lists every set.
"""

import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stages.errors import UserError, run_stage
from stages.files import atomic_write, mark_unused
from stages.params import read_resolved

NOT_NEEDED = (
    ".*",
    "*.bin",
    "*.pt",
    "*.ckpt",
    "*.h5",
    "*.msgpack",
    "*.onnx",
    "onnx/*",
    "openvino/*",
)  # pickles, and what other frameworks load
RAW, EVALUATION, MTEB, BASE = Path("data/raw"), Path("data/eval"), Path("data/mteb"), Path("models/base")


def main(arguments: Sequence[str]) -> None:
    match arguments:
        case ["dataset", name]:
            fetch(read_resolved("download")[name], RAW / name, f"datasets.{name}", "dataset")
        case ["evaluation", name]:
            fetch(read_resolved("download_eval")[name], EVALUATION / name, f"evaluation.sets.{name}", "dataset")
        case ["mteb"]:
            settings = read_resolved("download_mteb")
            fetch_mteb(settings["tasks"], settings["path"], MTEB)
        case ["base"]:
            settings = read_resolved("download_base")
            place = settings["base_model"]
            origin = (
                {"chosen": place != "made", "path": place}
                if Path(place).is_dir()
                else {"chosen": place != "made", "repo": place, "revision": settings["revision"]}
            )
            fetch(origin, BASE, "model", "model")
        case _:
            raise UserError("usage: python -m stages.download dataset NAME | evaluation NAME | mteb | base")


def fetch(origin: Mapping[str, Any], target: Path, key: str, repo_type: str) -> None:
    """Write the folder ``target`` from the origin: a pinned Hub snapshot, a local folder or file, or the built-in sample.

    Args:
        origin: ``chosen`` and one of ``repo`` with ``revision``, ``path``, ``sample``.
        key: the key of params.yaml that error lines name.
        repo_type: "dataset" or "model".

    Raises:
        UserError: the place does not exist or cannot be reached.
    """
    if not origin["chosen"]:
        mark_unused(target)
        return
    with atomic_write(target) as folder:
        folder.mkdir()
        if origin.get("sample"):
            _write_sample(origin["sample"], folder, key)
        elif origin.get("path"):
            _copy(Path(origin["path"]), folder, key)
        else:
            _snapshot(origin["repo"], origin["revision"], folder, key, repo_type)


def fetch_mteb(tasks: Sequence[str], path: str | None, target: Path) -> None:
    """Write ``target/<task>/`` for each MTEB task: from ``path/<task>/`` where given, else from the Hub at the revision mteb pins."""
    if not tasks:
        mark_unused(target)
        return
    with atomic_write(target) as folder:
        folder.mkdir()
        if path:
            for task in tasks:
                _copy(Path(path) / task, folder / task, "evaluation.mteb_path")
        else:
            from stages.evaluation.mteb_tasks import required_datasets

            for task, (repo, revision) in required_datasets(tasks).items():
                _snapshot(repo, revision, folder / task, f"evaluation.mteb ({task})", "dataset")


def _write_sample(name: str, folder: Path, key: str) -> None:
    from stages import sample

    if name in sample.DATASETS:
        sample.write_dataset(name, folder)
    elif name in sample.EVALUATION_SETS:
        sample.write_evaluation_set(name, folder)
    else:
        raise UserError(f"{key}.sample: there is no {name!r}; use one of {', '.join((*sample.DATASETS, *sample.EVALUATION_SETS))}")


def _copy(path: Path, folder: Path, key: str) -> None:
    if path.is_dir():
        shutil.copytree(path, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns(".*"))
    elif path.is_file():
        shutil.copy(path, folder / path.name)
    else:
        raise UserError(f"{key}.path: {path} does not exist; correct the path")


def _snapshot(repo: str, revision: str, folder: Path, key: str, repo_type: str) -> None:
    import httpx2
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        snapshot_download(repo, revision=revision, repo_type=repo_type, local_dir=folder, ignore_patterns=list(NOT_NEEDED))
    except GatedRepoError as error:
        raise UserError(f"{key}: {repo} is gated; accept its terms on its Hub page, then set HF_TOKEN or run `hf auth login`") from error
    except RevisionNotFoundError as error:
        raise UserError(f"{key}.revision: {repo} has no commit {revision}; `make pin` looks up the newest") from error
    except RepositoryNotFoundError as error:
        raise UserError(f"{key}.repo: the Hub has no {repo_type} {repo}, or it is private; correct it, or set HF_TOKEN") from error
    except (HfHubHTTPError, LocalEntryNotFoundError, httpx2.HTTPError, OSError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"{key}: {repo} could not be downloaded ({reason}); check the network and run `dvc repro` again") from error
    shutil.rmtree(folder / ".cache", ignore_errors=True)
    if repo_type == "model" and not list(folder.rglob("*.safetensors")):
        raise UserError(f"{key}.base_model: {repo} has no safetensors weights, and pickled ones are not loaded; name another")


if __name__ == "__main__":
    run_stage(lambda: main(sys.argv[1:]))
