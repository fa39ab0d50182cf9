"""Each evaluation set and MTEB task is downloaded at the revision that its reader pins, and reads completely."""

from pathlib import Path

from stages.config.params import read_resolved
from stages.download import __main__ as download
from stages.retrieval.mteb import required_datasets
from stages.retrieval.sets import RetrievalSet, load_sets
from stages.retrieval.texts import TEXTS, read_texts
from tests.fakes.hub_server import LoopbackHub
from tests.fakes.repositories.conftest import Prepare
from tests.fakes.repositories.evaluation_sets import DISTRACTORS, NANO, OWN_QUERIES, QUERIES, TASKS


def fetched(name: str, language: str) -> list[RetrievalSet]:
    download.fetch(read_resolved("download_eval")[name], Path(name), f"evaluation.sets.{name}")
    return load_sets(Path(name), name, "nanobeir", language=language)


def check(sets: list[RetrievalSet], own_queries: set[str]) -> None:
    assert len(sets) == len(NANO)
    for each in sets:
        assert len(each.queries) == len(each.qrels) == QUERIES
        assert len(each.corpus) == QUERIES + DISTRACTORS + (QUERIES if each.name in own_queries else 0)


def test_nanobeir_reads_whole_in_english_and_in_each_language_from_its_own_files(prepare: Prepare, hub: LoopbackHub) -> None:
    prepare("ecommerce")
    check(fetched("nanobeir-en", "en"), set(OWN_QUERIES))
    prepare("nordic")
    by_language = {language: fetched(f"nanobeir-{subset}", language) for subset, language in (("no", "nb"), ("sv", "sv"))}
    for sets in by_language.values():
        check(sets, {NANO[name][0] for name in OWN_QUERIES})
    downloads = [path for _, path in hub.requests if "/resolve/" in path and "Multilingual" in path]
    assert {path.split("/")[6].split("-")[0] for path in downloads if not path.endswith("README.md")} == {"no", "sv"}


def test_every_task_is_read_by_mteb_from_the_files_of_its_pinned_revision(prepare: Prepare, hub: LoopbackHub) -> None:
    prepare("nordic")
    download.main(["mteb"])
    for task, size in TASKS.items():
        found = read_texts(Path("data/mteb") / TEXTS, [task])
        if size:
            assert (len(set(found["queries"])), len({*found["documents"], *found["distractors"]})) == size
        else:
            assert found["queries"] and found["documents"]
    downloads = [path for _, path in hub.requests if "/resolve/" in path]
    places = {(path.split("/resolve/")[0].removeprefix("/datasets/"), path.split("/resolve/")[1].split("/")[0]) for path in downloads}
    assert places == set(required_datasets(list(TASKS)).values())
