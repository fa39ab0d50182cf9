"""Stages run in a folder of the test's own, on params.yaml as it is committed, pinned on a loopback Hub that holds every repository."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from stages.params import PARAMS, read_params
from stages.pin import pin
from stages.resolve import resolve
from stages.snapshot import snapshot
from tests.hub_server import LoopbackHub
from tests.repositories import add_repositories, newest

ROOT = Path(__file__).parents[2]

Prepare = Callable[[str], None]
"""Writes resolved/ for a profile into the current folder."""


@pytest.fixture(scope="module")
def hub() -> Iterator[LoopbackHub]:
    with LoopbackHub() as server:
        add_repositories(server)
        yield server


@pytest.fixture
def prepare(hub: LoopbackHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Prepare:
    hub.prepare(monkeypatch, tmp_path / "home")
    hub.log.clear()
    monkeypatch.setattr("stages.snapshot.snapshot", partial(snapshot, endpoint=hub.url))
    monkeypatch.chdir(tmp_path)

    def write(profile: str) -> None:
        text = (ROOT / PARAMS).read_text(encoding="utf-8").replace("\nprofile: sample ", f"\nprofile: {profile} ")
        PARAMS.write_text(text, encoding="utf-8")
        list(pin(PARAMS, [], newest(hub)))
        Path("resolved").mkdir(exist_ok=True)
        for stage, values in resolve(read_params()).items():
            with (Path("resolved") / f"{stage}.yaml").open("w", encoding="utf-8") as file:
                YAML().dump(values, file)

    return write
