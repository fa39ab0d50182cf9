"""`make pin` writes the newest revisions, and nothing else, into params.yaml."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from stages.errors import UserError
from stages.params import PARAMS
from stages.pin import pin
from tests.hub_server import LoopbackHub

ROOT = Path(__file__).parents[1]


@pytest.fixture
def params(tmp_path: Path) -> Path:
    return Path(shutil.copy(ROOT / PARAMS, tmp_path / "params.yaml"))


def newest(repo: str, repo_type: str, branch: str | None) -> str:
    return f"{abs(hash((repo, repo_type, branch))):040x}"[:40]


def test_every_hub_entry_is_pinned_and_comments_stay(params: Path) -> None:
    before = params.read_text(encoding="utf-8").splitlines()
    lines = list(pin(params, [], newest))
    after = params.read_text(encoding="utf-8").splitlines()
    assert len(before) == len(after)
    changed = [(old, new) for old, new in zip(before, after, strict=True) if old != new]
    assert len(changed) == len(lines) == 10
    assert all("revision: null" in old and "revision: null" not in new for old, new in changed)
    assert f"revision: {newest('ltg/norquad', 'dataset', None)}" in params.read_text(encoding="utf-8")
    assert f"revision: {newest('alexandrainst/scandi-qa', 'dataset', 'refs/convert/parquet')}" in params.read_text(encoding="utf-8")


def test_a_second_pin_changes_nothing(params: Path) -> None:
    list(pin(params, [], newest))
    before = params.read_bytes()
    assert list(pin(params, [], newest)) == ["everything is at its newest revision"]
    assert params.read_bytes() == before


def test_the_models_of_mining_are_pinned_where_they_are_named(params: Path) -> None:
    named = (
        params.read_text(encoding="utf-8")
        .replace("  cross_encoder: null ", "  cross_encoder: a/ce ")
        .replace("  model: null  ", "  model: a/m  ")
    )
    params.write_text(named, encoding="utf-8")
    assert [line.split(" ")[0] for line in pin(params, ["miner", "cross-encoder"], newest)] == ["miner", "cross-encoder"]
    text = params.read_text(encoding="utf-8")
    assert f"  revision: {newest('a/m', 'model', None)}\n" in text
    assert f"  cross_encoder_revision: {newest('a/ce', 'model', None)}\n" in text


def test_only_the_named_sets_are_pinned(params: Path) -> None:
    assert [line.split(" ")[0] for line in pin(params, ["ddsc"], newest)] == ["ddsc"]


def test_an_unknown_name_is_one_line(params: Path) -> None:
    with pytest.raises(UserError, match="no data set or evaluation set is named nonsense; use sample-nli"):
        list(pin(params, ["nonsense"], newest))


@pytest.fixture
def hub() -> Iterator[LoopbackHub]:
    with LoopbackHub() as server:
        yield server


def test_the_revision_is_the_hubs_and_a_silent_hub_is_one_line(params: Path, hub: LoopbackHub, tmp_path: Path) -> None:
    revision = hub.add_repo("dataset", "ltg/norquad", {"train.parquet": b"rows"})

    def run(name: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "stages.pin", name],
            cwd=tmp_path,
            env={**os.environ, **hub.environment(tmp_path / "home", token=None), "PYTHONPATH": str(ROOT), **environment},
            capture_output=True,
            text=True,
        )

    assert run("norquad").returncode == 0
    assert f"revision: {revision}" in params.read_text(encoding="utf-8")
    refused = run("nli")
    assert refused.returncode == 2
    assert refused.stderr.startswith("error: Fremtind/all-nli-norwegian: the Hub did not name its newest revision")
    assert len(run("norquad", HF_ENDPOINT="http://127.0.0.1:9").stderr.splitlines()) == 1
