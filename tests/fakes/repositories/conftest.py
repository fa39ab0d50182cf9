"""Stages run in a folder of the test's own, on params.yaml as it is committed, pinned on a loopback Hub that holds every repository."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from stages.commands.pin import pin
from stages.config.params import PARAMS, RESOLVED, read_yaml, validated
from stages.hub.snapshot import snapshot
from stages.resolve.__main__ import resolve
from stages.resolve.__main__ import write as write_resolved
from tests import ROOT
from tests.fakes.hub_server import LoopbackHub
from tests.fakes.repositories import add_repositories, newest

Prepare = Callable[[str], None]
"""Writes resolved/ for a profile into the current folder."""


@pytest.fixture(scope="module")
def hub() -> Iterator[LoopbackHub]:
    with LoopbackHub() as server:
        add_repositories(server)
        yield server


@pytest.fixture(scope="module")
def pinned(hub: LoopbackHub, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The shipped params.yaml with every revision pinned."""
    path = tmp_path_factory.mktemp("pinned") / PARAMS
    path.write_bytes((ROOT / PARAMS).read_bytes())
    list(pin(path, [], newest(hub)))
    return path.read_text(encoding="utf-8")


@pytest.fixture
def prepare(hub: LoopbackHub, pinned: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Prepare:
    hub.prepare(monkeypatch, tmp_path / "home")
    hub.log.clear()
    monkeypatch.setattr("stages.hub.snapshot.snapshot", partial(snapshot, endpoint=hub.url))
    monkeypatch.chdir(tmp_path)

    def write(profile: str) -> None:
        PARAMS.write_text(pinned.replace("\nprofile: sample ", f"\nprofile: {profile} "), encoding="utf-8")
        write_resolved(resolve(validated(read_yaml())), RESOLVED)

    return write
