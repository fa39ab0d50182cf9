"""Download brings what was asked for, pinned, whole or not at all; a failure is one line."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.hub_server import LoopbackHub

ROOT = Path(__file__).parents[1]
REPO = "Fremtind/all-nli-norwegian"
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def hub() -> Iterator[LoopbackHub]:
    with LoopbackHub() as server:
        yield server


@pytest.fixture
def run(tmp_path: Path, hub: LoopbackHub) -> Run:
    """Run `python -m stages.download ARGUMENTS` in an empty folder against the loopback Hub."""

    def run_with(*arguments: str, resolved: dict[str, Any], token: str | None = None, **environment: str) -> Any:
        (tmp_path / "resolved").mkdir(exist_ok=True)
        stage = {"dataset": "download", "evaluation": "download_eval", "mteb": "download_mteb", "base": "download_base"}[arguments[0]]
        with (tmp_path / "resolved" / f"{stage}.yaml").open("w") as file:
            YAML().dump(resolved, file)
        return subprocess.run(
            [sys.executable, "-m", "stages.download", *arguments],
            cwd=tmp_path,
            env={**os.environ, **hub.environment(tmp_path / "home", token=token), "PYTHONPATH": str(ROOT), **environment},
            capture_output=True,
            text=True,
            timeout=120,
        )

    return run_with


def origin(**values: Any) -> dict[str, Any]:
    return {"chosen": True, "repo": None, "revision": None, "path": None, "sample": None, **values}


def one_line(done: subprocess.CompletedProcess[str]) -> str:
    """The error line of a stage that refused."""
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    [line] = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    return line


def test_a_data_set_comes_down_at_its_revision_and_not_at_the_newest(run: Run, hub: LoopbackHub, tmp_path: Path) -> None:
    old = hub.add_repo("dataset", REPO, {"train.parquet": b"old rows", "README.md": b"about"})
    hub.add_repo("dataset", REPO, {"train.parquet": b"new rows", "README.md": b"about"})
    done = run("dataset", "nli", resolved={"nli": origin(repo=REPO, revision=old)})
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "data/raw/nli/train.parquet").read_bytes() == b"old rows"
    assert not list((tmp_path / "data/raw/nli").glob(".*"))


def test_a_base_model_comes_down_pinned(run: Run, hub: LoopbackHub, tmp_path: Path) -> None:
    revision = hub.add_repo("model", "ltg/norbert3-base", {"config.json": b"{}", "model.safetensors": b"\x00weights"})
    done = run("base", resolved={"base_model": "ltg/norbert3-base", "revision": revision})
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "models/base/model.safetensors").read_bytes() == b"\x00weights"


@pytest.mark.parametrize(
    ("prepare", "words"),
    [
        (lambda hub: ("nobody/nothing", "0" * 40), "datasets.x.repo: the Hub has no dataset nobody/nothing"),
        (lambda hub: (REPO, "f" * 40), "datasets.x.revision: Fremtind/all-nli-norwegian has no commit fff"),
        (
            lambda hub: ("a/gated", hub.add_repo("dataset", "a/gated", {"train.parquet": b"rows"}, gated=True)),
            "datasets.x: a/gated is gated; accept its terms",
        ),
    ],
)
def test_what_the_hub_refuses_is_one_line_with_the_remedy(run: Run, hub: LoopbackHub, tmp_path: Path, prepare: Any, words: str) -> None:
    hub.add_repo("dataset", REPO, {"train.parquet": b"rows"})
    repo, revision = prepare(hub)
    line = one_line(run("dataset", "x", resolved={"x": origin(repo=repo, revision=revision)}))
    assert words in line
    assert not (tmp_path / "data/raw/x").exists()


def test_a_base_model_of_pickles_is_refused(run: Run, hub: LoopbackHub, tmp_path: Path) -> None:
    revision = hub.add_repo("model", "an/old-one", {"config.json": b"{}", "pytorch_model.bin": b"pickle"})
    done = run("base", resolved={"base_model": "an/old-one", "revision": revision})
    assert "model.base_model: an/old-one has no safetensors weights" in one_line(done)
    assert not (tmp_path / "models/base").exists()


def test_no_network_is_one_line(run: Run, tmp_path: Path) -> None:
    done = run("dataset", "x", resolved={"x": origin(repo=REPO, revision="0" * 40)}, HF_ENDPOINT="http://127.0.0.1:9")
    assert "datasets.x: Fremtind/all-nli-norwegian could not be downloaded" in one_line(done)
    assert not (tmp_path / "data/raw/x").exists()


def test_a_local_folder_and_a_local_file_are_copied(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    (folder / "qrels").mkdir(parents=True)
    (folder / "corpus.jsonl").write_text("{}")
    (folder / "qrels" / "test.tsv").write_text("")
    for name, path in (("folder", folder), ("file", folder / "corpus.jsonl")):
        assert run("dataset", name, resolved={name: origin(path=str(path))}).returncode == 0
    assert (tmp_path / "data/raw/folder/qrels/test.tsv").exists()
    assert (tmp_path / "data/raw/file/corpus.jsonl").read_text() == "{}"


def test_mteb_tasks_come_from_a_local_folder(run: Run, tmp_path: Path) -> None:
    (tmp_path / "tasks" / "NorQuadRetrieval").mkdir(parents=True)
    (tmp_path / "tasks" / "NorQuadRetrieval" / "test.parquet").write_bytes(b"rows")
    done = run("mteb", resolved={"tasks": ["NorQuadRetrieval"], "path": str(tmp_path / "tasks")})
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "data/mteb/NorQuadRetrieval/test.parquet").exists()


def test_the_sample_is_written_and_an_unknown_one_is_refused(run: Run, tmp_path: Path) -> None:
    assert run("evaluation", "sample", resolved={"sample": origin(sample="sample")}).returncode == 0
    assert (tmp_path / "data/eval/sample/qrels").is_dir()
    assert "datasets.x.sample: there is no 'nothing'; use one of nli, qa" in one_line(
        run("dataset", "x", resolved={"x": origin(sample="nothing")})
    )


def test_a_set_that_is_not_chosen_is_marked_unused(run: Run, tmp_path: Path) -> None:
    assert run("dataset", "x", resolved={"x": {"chosen": False}}).returncode == 0
    assert [path.name for path in (tmp_path / "data/raw/x").iterdir()] == ["unused.txt"]
