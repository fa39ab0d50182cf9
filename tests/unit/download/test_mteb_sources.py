"""The data of MTEB's Scandinavian tasks, in the layouts of their repositories, from the loopback Hub to what mteb scores."""

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import mteb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stages.download.mteb_sources import fetch_mteb
from stages.evaluate.mteb_tasks import evaluate_mteb
from stages.hub.snapshot import snapshot
from stages.retrieval.mteb import required_datasets, task_texts
from stages.retrieval.texts import TEXTS, read_texts
from tests.fakes.hub_server import LoopbackHub
from tests.refused import refused
from tests.unit.conftest import bert, splade  # noqa: F401 fixtures

Files = dict[str, bytes]


def parquet(columns: Mapping[str, Any]) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table(dict(columns)), sink)
    return sink.getvalue()


def card(configs: Mapping[str, Sequence[str]], extra: str = "") -> bytes:
    """A README.md that declares, of each config, the splits <config>/<split>-*, and their sizes, as `push_to_hub` writes it."""
    lines = ["---", "license: cc-by-4.0", extra, "dataset_info:"]
    for name, splits in configs.items():
        sizes = "".join(f"  - {{name: {split}, num_bytes: 1, num_examples: 1}}\n" for split in splits)
        lines.append(f"- config_name: {name}\n  splits:\n{sizes}  download_size: 1\n  dataset_size: 1")
    lines.append("configs:")
    for name, splits in configs.items():
        paths = ", ".join(f"{{split: {split}, path: {name}/{split}-*}}" for split in splits)
        lines.append(f"- config_name: {name}\n  data_files: [{paths}]")
    return "\n".join([*lines, "---", ""]).encode()


def search_set(splits: Sequence[str], qrels: str = "default") -> Files:
    """A repository with the configs of mteb's own loader, each with these splits; sizes in the card are those of one row."""
    files = {"README.md": card(dict.fromkeys(("corpus", "queries", qrels), splits))}
    for split in splits:
        rows = {
            "corpus": {"_id": ["d1"], "title": ["tittel"], "text": [f"havtur {split}"]},
            "queries": {"_id": ["q1"], "text": [f"havtur {split}?"]},
            qrels: {"query-id": ["q1"], "corpus-id": ["d1"], "score": [1]},
        }
        files |= {f"{name}/{split}-00000-of-00001.parquet": parquet(columns) for name, columns in rows.items()}
    return files


def danfever() -> Files:
    """Labels are numbers; the card says what they mean."""
    features = "[{name: claim, dtype: string}, {name: evidence_extract, dtype: string}, {name: label, dtype: {class_label: {names: {'0': Refuted, '1': Supported}}}}]"  # noqa: E501
    configs = "configs:\n- config_name: default\n  data_files: [{split: train, path: data/train-*}]"
    rows = {"claim": ["sann", "usann"], "evidence_extract": ["bevis", "annet"], "label": [1, 0]}
    readme = f"---\n{configs}\ndataset_info:\n  features: {features}\n---\n".encode()
    return {"README.md": readme, "data/train-00000-of-00001.parquet": parquet(rows), "en.tsv": b"claim\tevidence"}


def scandinavian() -> dict[str, Files]:
    """A small repository of each task."""
    answers = [{"text": ["svar"], "answer_start": [0]}]
    norquad = parquet({"question": ["hva?"], "context": ["passasje"], "answers": answers})
    snl = {split: parquet({"headline": [f"Oslo {split}"], "article": [f"en by {split}"]}) for split in ("train", "test")}
    news = {
        split: parquet({"summary": [f"kort {split} {i}" for i in range(2048)], "text": [f"lang {split} {i}" for i in range(2048)]})
        for split in ("train", "test")
    }
    return {
        "NorQuadRetrieval": {"data/test-00000-of-00001.parquet": norquad, ".gitattributes": b""},
        "SNLRetrieval": {"SNL.csv": b"headline,article\n" * 1000} | {f"data/{k}-00000-of-00001.parquet": v for k, v in snl.items()},
        "SwednRetrieval": search_set(["train", "test"]),
        "SweFaqRetrieval": search_set(["test"], "qrels"),
        "DanFeverRetrieval": danfever(),
        "TV2Nordretrieval": {f"{split}.parquet": rows for split, rows in news.items()},
        "TwitterHjerneRetrieval": search_set(["train"]),
    }


@pytest.fixture(scope="module")
def repositories() -> dict[str, Files]:
    return scandinavian()


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LoopbackHub]:
    with LoopbackHub() as server:
        server.prepare(monkeypatch, tmp_path / "home")
        monkeypatch.setattr("stages.hub.snapshot.snapshot", partial(snapshot, endpoint=server.url))
        monkeypatch.chdir(tmp_path)
        yield server


def serve(hub: LoopbackHub, repositories: Mapping[str, Files]) -> list[str]:
    """Put the repositories on the Hub at the revisions that mteb pins; the names of their tasks."""
    for task, (repo, revision) in required_datasets(list(repositories)).items():
        hub.add_repo("dataset", repo, repositories[task], revision)
    return list(repositories)


def asked(hub: LoopbackHub) -> list[str]:
    """The downloaded files."""
    return [path.partition("/resolve/")[2].partition("/")[2] for _, path in hub.requests if "/resolve/" in path]


def test_the_scandinavian_tasks_have_the_files_that_mteb_reads_and_can_be_scored(
    hub: LoopbackHub,
    repositories: dict[str, Files],
    splade: Any,  # noqa: F811
    tmp_path: Path,
) -> None:
    tasks = serve(hub, repositories)
    assert set(fetch_mteb(["MTEB(Scandinavian, v1)"], None, tmp_path / "mteb")) == set(tasks)
    unread = {"README.md", ".gitattributes", "SNL.csv", "en.tsv"}
    wanted = [name for files in repositories.values() for name in files if name not in unread]
    assert sorted(name for name in asked(hub) if name != "README.md") == sorted(wanted)
    assert (tmp_path / "mteb/SwednRetrieval/README.md").read_bytes() == repositories["SwednRetrieval"]["README.md"]
    texts = read_texts(tmp_path / "mteb" / TEXTS, tasks)
    assert {"havtur test?", "havtur train?", "Oslo test", "kort test 7", "sann", "hva?"} <= set(texts["queries"])
    assert "Oslo train" not in texts["queries"]
    assert set(json.loads((tmp_path / "mteb/manifest.json").read_text())) == set(tasks)
    assert not (tmp_path / ".downloads").exists()
    for task in ("SwednRetrieval", "TwitterHjerneRetrieval", "DanFeverRetrieval"):
        [result] = evaluate_mteb(splade, task, tmp_path / "mteb" / task)
        assert 0 <= result.metrics["ndcg@10"] <= 1


def test_of_a_task_in_many_languages_only_the_wanted_ones_are_downloaded_and_scored(
    hub: LoopbackHub,
    splade: Any,  # noqa: F811
    tmp_path: Path,
) -> None:
    task, subsets = "MultilingualNanoNQRetrieval", ("de", "no", "sv")
    parts = search_set(["test"])
    files = {
        f"{subset}-{name.replace('default', 'qrels')}": content
        for subset in subsets
        for name, content in parts.items()
        if name != "README.md"
    }
    configs = [f"{subset}-{part}" for subset in subsets for part in ("corpus", "queries", "qrels")]
    serve(hub, {task: files | {"README.md": card({name: ["test"] for name in configs})}})
    fetch_mteb([task], None, tmp_path / "mteb", languages=["da", "nb", "sv"])
    first = "de-corpus/test-00000-of-00001.parquet"  # tells `datasets` the format of all files
    assert {*asked(hub)} == {"README.md", first, *(name for name in files if name[:3] in ("no-", "sv-"))}
    assert read_texts(tmp_path / "mteb" / TEXTS)["queries"] == ["havtur test?"] * 2
    results = evaluate_mteb(splade, task, tmp_path / "mteb" / task, languages=["da", "nb", "sv"], results=tmp_path / "results")
    assert [result.name for result in results] == [f"{task}/no/test", f"{task}/sv/test"]
    [loaded] = mteb.ResultCache(tmp_path / "results").load_results(require_model_meta=False)
    assert [each["languages"] for each in loaded.task_results[0].scores["test"]] == [["nor-Latn"], ["swe-Latn"]]


def test_tasks_may_share_a_data_set_and_each_reads_its_own_split(hub: LoopbackHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = search_set(["train", "test"]) | {"x.png": b"picture"}
    place = "mteb/shared", hub.add_repo("dataset", "mteb/shared", files)
    tasks = ["SwednRetrieval", "TwitterHjerneRetrieval"]
    monkeypatch.setattr("stages.download.mteb_sources.required_datasets", lambda names: dict.fromkeys(names, place))
    hub.reset("corpus/test")
    fetch_mteb(tasks, None, tmp_path / "mteb")
    assert read_texts(tmp_path / "mteb" / TEXTS, tasks[:1])["queries"] == ["havtur test?"]
    assert read_texts(tmp_path / "mteb" / TEXTS, tasks[1:])["queries"] == ["havtur train?"]
    about = json.loads((tmp_path / "mteb/manifest.json").read_text())
    assert {(task, each["revision"], each["license"]) for task, each in about.items()} == {(task, place[1], "cc-by-4.0") for task in tasks}
    assert set(asked(hub)) == set(files) - {"x.png"}
    fetch_mteb(tasks, str(tmp_path / "mteb"), tmp_path / "again")  # the data of another checkout, by evaluation.mteb_path
    assert task_texts(tasks[0], tmp_path / "again" / tasks[0])[0] == ("queries", "havtur test?")
    assert not (tmp_path / ".downloads").exists()


BAD: dict[str, tuple[str, Any, str]] = {
    "too few rows": ("TV2Nordretrieval", {"test.parquet": parquet({"summary": ["a"], "text": ["b"]})}, "2047"),
    "another column": ("SNLRetrieval", {"data/test-00000-of-00001.parquet": parquet({"title": ["a"], "article": ["b"]})}, "headline"),
    "no split of its own": (
        "SNLRetrieval",
        {"data/train-00000-of-00001.parquet": parquet({"headline": ["a"], "article": ["b"]})},
        "no split test",
    ),
    "a broken file": ("NorQuadRetrieval", {"data/test-00000-of-00001.parquet": b"PAR1"}, "ArrowInvalid"),
    "a null": (
        "TwitterHjerneRetrieval",
        search_set(["train"])
        | {"corpus/train-00000-of-00001.parquet": parquet({"_id": ["d1"], "title": pa.nulls(1, pa.string()), "text": ["a"]})},
        "1 of 1 values … title … corpus … strings",
    ),
    "no text": (
        "TwitterHjerneRetrieval",
        search_set(["train"]) | {"queries/train-00000-of-00001.parquet": parquet({"_id": ["q1"], "body": ["a"]})},
        "queries … train … no column text",
    ),
    "nothing relevant": (
        "TwitterHjerneRetrieval",
        search_set(["train"]) | {"default/train-00000-of-00001.parquet": parquet({"query-id": ["q1"], "corpus-id": ["d1"], "score": [0]})},
        "no query … relevant",
    ),
    "a score without a value": (
        "TwitterHjerneRetrieval",
        search_set(["train"])
        | {"default/train-00000-of-00001.parquet": parquet({"query-id": ["q1"], "corpus-id": ["d1"], "score": pa.nulls(1, pa.int64())})},
        "1 of 1 scores … train … numbers",
    ),
    "another corpus": (
        "TwitterHjerneRetrieval",
        search_set(["train"]) | {"default/train-00000-of-00001.parquet": parquet({"query-id": ["q1"], "corpus-id": ["d2"], "score": [1]})},
        "1 of 1 relevant documents … train … corpus",
    ),
    "ids that are numbers": (
        "TwitterHjerneRetrieval",
        search_set(["train"]) | {"queries/train-00000-of-00001.parquet": parquet({"id": [1], "text": ["a"]})},
        "",
    ),
}


@pytest.mark.parametrize("bad", BAD)
def test_a_task_that_mteb_cannot_score_is_one_line_and_nothing_is_downloaded_again(hub: LoopbackHub, tmp_path: Path, bad: str) -> None:
    task, files, reason = BAD[bad]
    other = "SweFaqRetrieval"
    tasks = serve(hub, {other: search_set(["test"]), task: files})
    before: list[str] = []
    for _ in range(2):
        with refused("evaluation.mteb", task, reason):
            fetch_mteb(tasks, None, tmp_path / "mteb")
        assert not (tmp_path / "mteb").exists()
        before = before or asked(hub)
        assert asked(hub) == before
    fetch_mteb([other], None, tmp_path / "mteb")
    assert asked(hub) == before
    assert read_texts(tmp_path / "mteb" / TEXTS, [other])["queries"] == ["havtur test?"]


@pytest.mark.parametrize(
    ("task", "files", "reason"),
    [
        ("SwednRetrieval", search_set(["train", "dev"]), "mteb/SwednRetrieval … config default … no files of the split test … train, dev"),
        ("SwednRetrieval", {"data/test.parquet": b"PAR1"}, "no config corpus"),
        (
            "SwednRetrieval",
            {"README.md": search_set(["test"])["README.md"], "corpus/test-0.parquet": b""},
            "config default … no files",
        ),
        ("SNLRetrieval", {"README.md": b"# SNL", "snl.pkl": b""}, "no data that mteb can read"),
    ],
)
def test_a_fault_in_the_listing_is_refused_before_any_download(
    hub: LoopbackHub, tmp_path: Path, task: str, files: Files, reason: str
) -> None:
    with refused("evaluation.mteb", task, reason):
        fetch_mteb(serve(hub, {task: files}), None, tmp_path / "mteb")
    assert set(asked(hub)) <= {"README.md"}
