"""Retrieval tasks of MTEB (https://github.com/embeddings-benchmark/mteb): their data, read and checked as mteb will score it.

Importing this module imports mteb, which takes seconds: import it only where mteb is used.
"""

import difflib
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import repeat
from pathlib import Path
from typing import Any

import datasets
import mteb
from mteb.abstasks.retrieval import AbsTaskRetrieval

from stages.retrieval.sets import RetrievalSet, retrieval_set
from stages.retrieval.texts import Role
from stages.runtime.errors import UserError

ISO = {"nb": ("nob", "nor"), "nn": ("nno", "nor"), "da": ("dan",), "sv": ("swe",), "en": ("eng",)}
"""A language of ours → what mteb calls it, its own code first: nor is Norwegian in either form."""
UNKNOWN_LIMIT = 0.5  # share of the judged documents that may be missing from the corpus; mteb gives no warning and scores them 0


def get_task(name: str, languages: Sequence[str] = ()) -> AbsTaskRetrieval:
    """A retrieval task of mteb.

    Args:
        languages: keys of `ISO`. Of a task in several languages only these are used, or all if it has none of them.

    Raises:
        UserError: mteb does not know the name (with close matches), or it is another kind of task.
    """
    try:
        task = mteb.get_task(name)
    except KeyError as error:
        known = [*(each.metadata.name for each in mteb.get_tasks()), *(each.name for each in mteb.get_benchmarks())]
        close = difflib.get_close_matches(name, known, n=3)
        hint = f"did you mean {', '.join(map(repr, close))}?" if close else "see mteb.get_tasks() for the names"
        raise UserError(f"evaluation.mteb: mteb has no task named {name!r}; {hint}") from error
    if not isinstance(task, AbsTaskRetrieval) or task.metadata.type != "Retrieval":
        raise UserError(f"evaluation.mteb: {name} is a task of type {task.metadata.type}; name a task of type Retrieval")
    if languages and task.metadata.is_multilingual:
        with suppress(ValueError):  # it has none of them
            task.filter_languages(sorted({code for language in languages for code in ISO[language]}))
    return task


def expand(names: Sequence[str]) -> list[str]:
    """The names of tasks, with the retrieval tasks of a benchmark in the place of its name; each once."""
    benchmarks = {each.name for each in mteb.get_benchmarks()}
    return list(dict.fromkeys(task for name in names for task in (retrieval_tasks(name) if name in benchmarks else [name])))


def retrieval_tasks(benchmark: str) -> list[str]:
    """The names of a benchmark's retrieval tasks; `UserError` if it has none."""
    tasks = [task.metadata.name for task in mteb.get_benchmark(benchmark).tasks if task.metadata.type == "Retrieval"]
    if not tasks:
        raise UserError(f"evaluation.mteb: {benchmark} has no task of type Retrieval; name another benchmark, or tasks")
    return tasks


def required_datasets(task_names: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Task name → (Hub data set id, revision) from mteb's own metadata; raises as `get_task`."""
    pinned = {name: get_task(name).metadata.dataset for name in task_names}
    return {name: (dataset["path"], dataset["revision"]) for name, dataset in pinned.items()}


def benchmark_tasks(name: str) -> list[str]:
    """The names of the tasks of one of mteb's benchmarks; `UserError` for a name that mteb does not know."""
    try:
        benchmark = mteb.get_benchmark(name)
    except KeyError as error:
        raise UserError(f"evaluation.sets: mteb has no benchmark named {name!r}; {error.args[0]}") from error
    return [task.metadata.name for task in benchmark.tasks]


def task_texts(task_name: str, folder: Path, languages: Sequence[str] = ()) -> list[tuple[Role, str]]:
    """The queries and documents of the splits that the task scores, as the model gets them; documents also without their title.

    ``folder`` and ``languages`` are those of `evaluate_mteb`. Queries without a relevant document are included: mteb scores them too.

    Raises:
        UserError: the files do not load, or mteb could not score them. A task that passes can be evaluated.
    """
    with own_cache():
        task = load_task(task_name, folder, languages)
        pairs: list[tuple[Role, str]] = []
        for data in _scored(task, folder):
            relevant = {document for grades in data["relevant_docs"].values() for document, grade in grades.items() if grade > 0}
            pairs += [("queries", text) for text in data["queries"]["text"]]
            for identifier, title, text in _documents(data):
                role: Role = "documents" if identifier in relevant else "distractors"
                pairs += [(role, each) for each in dict.fromkeys((f"{title} {text}".strip(), text)) if each.strip()]
        return pairs


def load_task(task_name: str, folder: Path, languages: Sequence[str] = ()) -> AbsTaskRetrieval:
    task = get_task(task_name, languages)
    if not folder.is_dir() or not any(folder.iterdir()):
        raise UserError(f"{folder}: the data set of {task_name} is not there; run the download stage")
    local = {**task.metadata.dataset, "path": str(folder.resolve())}
    task.metadata = task.metadata.model_copy(update={"dataset": local})
    try:
        task.load_data()
        task.convert_v1_dataset_format_to_v2(num_proc=None)
    except MemoryError:
        raise
    except Exception as error:  # third-party data and code: whatever is raised, the files are at fault
        raise _unusable(task_name, folder, f"{type(error).__name__}: {error}") from error
    return task


def _unusable(task_name: str, folder: Path, reason: str) -> UserError:
    line = " ".join(reason.split()).rstrip(".")
    return UserError(f"{folder}: does not load as the data set of {task_name}: {line}; fix its files, or leave it out of evaluation.mteb")


def _scored(task: AbsTaskRetrieval, folder: Path) -> Iterator[Any]:
    """The data of every subset and split that mteb scores; `UserError` if it could not score their columns or values."""
    name = task.metadata.name
    for subset, splits in task.dataset.items():
        for split in task.eval_splits:
            if split not in splits:
                raise _unusable(name, folder, f"{subset} has no split {split}, only {', '.join(splits) or 'none'}")
            data: Any = splits[split]
            for part, columns in (("queries", ("id", "text")), ("corpus", ("id", "text", "title"))):
                rows = data[part]
                if not len(rows):
                    raise _unusable(name, folder, f"no row of {split} is left for the {part}")
                for column in columns:
                    if column in rows.column_names:
                        if wrong := sum(not isinstance(value, str) for value in rows[column]):
                            raise _unusable(name, folder, f"{wrong} of {len(rows)} values in the column {column} of {part} are not strings")
                    elif column != "title":
                        raise _unusable(name, folder, f"{part} of {split} have no column {column}, only {', '.join(rows.column_names)}")
            grades = [(document, grade) for rows in data["relevant_docs"].values() for document, grade in rows.items()]
            if wrong := sum(not isinstance(grade, int | float) for _, grade in grades):
                raise _unusable(name, folder, f"{wrong} of {len(grades)} scores of {split} are not numbers")
            ids = set(data["corpus"]["id"])
            if (unknown := sum(document not in ids for document, _ in grades)) > UNKNOWN_LIMIT * len(grades):
                raise _unusable(name, folder, f"{unknown} of {len(grades)} relevant documents of {split} are not in the corpus")
            where = f"evaluation.mteb: {name} in {folder}"
            as_retrieval_set(name, data, where, task.ignore_identical_ids)  # raises if there is nothing to score
            yield data


@contextmanager
def own_cache() -> Iterator[None]:
    """Give `datasets` a temporary cache, and switch its progress bars off.

    Its usual cache identifies a folder whose README declares configs by path and config name alone: another version of the
    data set at the same path would silently be scored on the old rows.
    """
    usual, shown = datasets.config.HF_DATASETS_CACHE, not datasets.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    try:
        with tempfile.TemporaryDirectory(prefix="mteb-") as folder:
            datasets.config.HF_DATASETS_CACHE = Path(folder)
            yield
    finally:
        datasets.config.HF_DATASETS_CACHE = usual
        if shown:
            datasets.enable_progress_bars()


def language_of(task: AbsTaskRetrieval, subset: str) -> str | None:
    """The language of a subset as params.yaml names it; None if it has several, or none of ours."""
    spoken = task.metadata.eval_langs
    codes = {language.partition("-")[0] for language in (spoken.get(subset, []) if isinstance(spoken, dict) else spoken)}
    return next((ours for ours, theirs in ISO.items() if codes < {*theirs, ""}), None)


def as_retrieval_set(name: str, data: Any, where: str, ignore_identical_ids: bool, language: str | None = None) -> RetrievalSet:
    corpus = {identifier: f"{title} {text}".strip() for identifier, title, text in _documents(data)}
    queries = dict(zip(data["queries"]["id"], data["queries"]["text"], strict=True))
    return retrieval_set(name, language, queries, corpus, data["relevant_docs"], where, own=queries if ignore_identical_ids else ())


def _documents(data: Any) -> Iterator[tuple[str, str, str]]:
    """(id, title, text) of each document that mteb loaded; a missing title is empty."""
    corpus = data["corpus"]
    titles = corpus["title"] if "title" in corpus.column_names else repeat("", len(corpus))
    for identifier, title, text in zip(corpus["id"], titles, corpus["text"], strict=True):
        yield identifier, title or "", text
