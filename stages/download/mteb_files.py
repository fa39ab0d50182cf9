"""Which files of a task's repository mteb reads, found out before any of them is downloaded.

Which file belongs to which config and split is for `datasets` to say, by the repository's card and the names of its files. It is asked
about a folder of empty files with the same names, so that the answer is the one that mteb will get.
"""

import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import datasets
import yaml
from mteb.abstasks.retrieval import AbsTaskRetrieval

from stages.hub.manifest import header
from stages.hub.wanted import CARD
from stages.retrieval.mteb import get_task
from stages.runtime.errors import UserError

CONFIGS = ".huggingface.yaml"
"""Where `datasets` looks for configs and features before it looks into the card, which so stays as it is."""
INFOS = "dataset_infos.json"
ABOUT = (CARD, CONFIGS, INFOS)
"""Files that tell what the others are."""
SIZES = ("splits", "download_size", "dataset_size")  # of a config in the card: `datasets` wants every split there that these name


@dataclass(frozen=True)
class Needed:
    """The paths that mteb reads, and the content of `CONFIGS` if these are only some of the declared splits."""

    paths: frozenset[str]
    configs: str | None = None

    def describe(self, folder: Path) -> None:
        """Tell `datasets` what is in ``folder``, where the files lie."""
        (folder / CONFIGS).unlink(missing_ok=True)
        if self.configs is not None:
            (folder / CONFIGS).write_text(self.configs, encoding="utf-8")


def needed(task_name: str, paths: Iterable[str], about: Path, where: str) -> Needed:
    """What mteb reads of a repository with these ``paths``, of which those of `ABOUT` are in the folder ``about``.

    A task with mteb's own loader reads one split of each of its configs. Another one may read them all.

    Raises:
        UserError: beginning with ``where``: there is no config or split of the names that mteb asks for, or no data at all.
    """
    task = get_task(task_name)
    paths = {path for path in paths if path in ABOUT or not any(part.startswith(".") for part in PurePosixPath(path).parts)}
    with tempfile.TemporaryDirectory(prefix="mteb-") as place:
        folder = Path(place) / "files"
        for path in paths:
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            known = about / path
            (folder / path).write_bytes(known.read_bytes() if path in ABOUT and known.is_file() else b"")
        try:
            names = datasets.get_dataset_config_names(str(folder))
        except Exception as error:  # what others wrote, read by others' code: whatever goes wrong comes of the files
            raise UserError(f"{where} holds no data that mteb can read ({_reason(error, place)}); leave the task out") from error
        own_loader = type(task).load_data is AbsTaskRetrieval.load_data
        wanted = _configs(task, names, where) if own_loader else [(name, None) for name in names]
        found: dict[str, dict[str, list[str]]] = {}
        for name, split in wanted:
            try:
                files = _data_files(folder, name, Path(place))
            except Exception:
                files = {}
            if own_loader and not any(files.values()):
                raise UserError(f"{where} lacks the files of its config {name}; leave the task out")
            found.setdefault(name, {}).update(files if split is None else _of_split(files, split, f"{where}, config {name},"))
    chosen = {path for files in found.values() for some in files.values() for path in some}
    if not chosen:
        raise UserError(f"{where} holds no data that mteb can read; leave the task out")
    configs = _described(found, about) if own_loader and INFOS not in paths else None
    return Needed(frozenset(chosen | (paths & set(ABOUT))), configs)


def _configs(task: AbsTaskRetrieval, names: list[str], where: str) -> list[tuple[str, str]]:
    """The (config, split) pairs that mteb's own loader reads, as `mteb.abstasks.retrieval_dataset_loaders` chooses them."""
    prefixes = [f"{subset}-" for subset in task.hf_subsets] if task.metadata.is_multilingual else [""]
    wanted = []
    for prefix in prefixes:
        qrels = "default" if not prefix and "default" in names else f"{prefix}qrels"
        required = [qrels, f"{prefix}corpus", "query" if "query" in names else f"{prefix}queries"]
        if missing := [name for name in required if name not in names]:
            raise UserError(f"{where} has no config {missing[0]}, which mteb reads (it has {', '.join(names)}); leave the task out")
        wanted += [*required, *(name for name in (f"{prefix}top_ranked", f"{prefix}instruction") if name in names)]
    return [(name, split) for name in wanted for split in task.eval_splits]


def _data_files(folder: Path, config: str, place: Path) -> dict[str, list[str]]:
    """Split → paths below ``folder``, in order."""
    builder = datasets.load_dataset_builder(str(folder), config, cache_dir=str(place / "cache"))
    by_split: Mapping[Any, Any] = builder.config.data_files or {}
    root = folder.resolve()
    return {str(split): [Path(path).relative_to(root).as_posix() for path in files] for split, files in by_split.items()}


def _of_split(files: dict[str, list[str]], split: str, where: str) -> dict[str, list[str]]:
    """The files of ``split``, or of the only one, as mteb chooses."""
    chosen = split if split in files else next(iter(files)) if len(files) == 1 else None
    if chosen is None or not files[chosen]:
        present = ", ".join(name for name, some in files.items() if some)
        raise UserError(f"{where} has no split {split}, which mteb reads (it has {present}); leave the task out")
    return {chosen: files[chosen]}


def _described(found: Mapping[str, Mapping[str, list[str]]], about: Path) -> str:
    """The header of the card with these configs, splits and files only."""
    values: dict[str, Any] = {}
    for path in (about / CARD, about / CONFIGS):
        if path.is_file():
            text = path.read_text(encoding="utf-8", errors="replace")
            values |= header(text if path.name == CARD else f"---\n{text}\n---\n")
    configs, infos = (_listed(values.get(key)) for key in ("configs", "dataset_info"))
    described: dict[str, list[dict[str, Any]]] = {"configs": [], "dataset_info": []}
    for name, splits in found.items():
        kept = {key: value for key, value in configs.get(name, {}).items() if key != "data_dir"}
        files = [{"split": split, "path": list(paths)} for split, paths in splits.items()]
        described["configs"].append({**kept, "config_name": name, "data_files": files})
        kept = {key: value for key, value in infos.get(name, {}).items() if key not in SIZES}
        described["dataset_info"].append({**kept, "config_name": name})
    return yaml.safe_dump(described, allow_unicode=True, sort_keys=False)


def _listed(value: Any) -> dict[str, dict[str, Any]]:
    """The mappings of a list, or the only one, by their config_name."""
    given = value if isinstance(value, list) else [value]
    return {each.get("config_name", "default"): each for each in given if isinstance(each, dict)}


def _reason(error: Exception, place: str) -> str:
    """An error in one line, without the folder of empty files."""
    return " ".join(str(error).replace(f"{place}/files/", "").replace(f"{place}/files", "it").split()) or type(error).__name__
