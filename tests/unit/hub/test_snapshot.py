"""A snapshot is complete and verified, or a one-line error, whatever fault the Hub or the network has."""

import dataclasses
import json
import logging
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from stages.hub.repository import Source
from stages.hub.snapshot import snapshot
from stages.runtime.errors import UserError
from tests.fakes.hub_api import Answer
from tests.fakes.hub_server import LoopbackHub, Request
from tests.refused import refused

REPO = "ltg/norquad"
ROWS = bytes(range(256)) * 1024  # 256 KiB
FILES = {"data/train.parquet": ROWS, "data/dev.parquet": ROWS[:1000], "README.md": "---\nlicense: cc0-1.0\n---\nÆrlig".encode()}
NAMES = sorted(FILES)
Download = Callable[..., dict[str, bytes]]


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[LoopbackHub]:
    with LoopbackHub() as server:
        server.prepare(monkeypatch, tmp_path / "home")
        yield server


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / ".downloads"


@pytest.fixture
def download(hub: LoopbackHub, store: Path) -> Download:
    """Download FILES, or the revision given, and return the contents by name."""

    def download_from(revision: str | None = None, repo: str = REPO, patience: float = 2.0, **arguments: Any) -> dict[str, bytes]:
        revision = revision or hub.add_repo("dataset", REPO, FILES)
        source = Source(repo, revision, "dataset", "datasets.norquad")
        arguments = {"select": lambda paths, fetch: {path for path in paths if path != ".gitattributes"}, "timeout": 0.5, **arguments}
        with snapshot(source, store=store, endpoint=hub.url, patience=patience, **arguments) as (folder, listed):
            contents = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
            assert sorted(contents) == sorted(file.path for file in listed)
        return contents

    return download_from


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that would have passed between two tries."""
    waited: list[float] = []
    monkeypatch.setattr(time, "sleep", waited.append)
    return waited


def asked_for(hub: LoopbackHub, name: str) -> list[Request]:
    return [request for request in hub.log if request.path.endswith(name)]


def tampered(hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch, change: Callable[[Request, Answer], Answer], **headers: None) -> None:
    """Change the Hub's answers; it does not see the request headers named in ``headers``."""
    honest = hub.answer

    def answer(request: Request, raw_path: str, body: bytes) -> Any:
        seen = dataclasses.replace(request, headers={name: value for name, value in request.headers.items() if name not in headers})
        given, fault = honest(seen, raw_path, body)
        return change(request, given), fault

    monkeypatch.setattr(hub, "answer", answer)


def test_only_selected_files_are_downloaded_and_the_store_is_removed(download: Download, hub: LoopbackHub, store: Path) -> None:
    assert download(select=lambda paths, fetch: {"data/train.parquet"}) == {"data/train.parquet": ROWS}
    assert not asked_for(hub, "dev.parquet")
    assert not store.exists()


def test_the_weights_are_last_and_only_if_the_other_files_are_accepted(download: Download, hub: LoopbackHub, store: Path) -> None:
    files = {"a.safetensors": ROWS, "config.json": b"{}", "modeling.py": b"code"}
    revision = hub.add_repo("dataset", "a/model", files)

    def refuse(folder: Path) -> None:
        assert {path.name for path in folder.iterdir()} == {"config.json"}
        raise UserError("no permission")

    with refused("no permission"):
        download(revision, "a/model", select=lambda paths, fetch: {"a.safetensors", "config.json"}, inspect=refuse)
    assert store.exists() and not asked_for(hub, "a.safetensors")
    assert download(revision, "a/model", inspect=lambda folder: None) == files
    assert [len(asked_for(hub, name)) for name in files] == [1, 1, 1]


FAULTS: dict[str, Callable[[LoopbackHub, str], None]] = {
    "429": lambda hub, name: hub.fail(name, status=429, headers={"Retry-After": "1"}),
    "500": lambda hub, name: hub.fail(name, status=500, times=2),
    "503": lambda hub, name: hub.fail(name, status=503, times=2),
    "reset": lambda hub, name: hub.reset(name, times=3),
    "truncated": lambda hub, name: hub.truncate(name, times=3),
    "slow": lambda hub, name: hub.delay(name, 1.0),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", ["/tree/", r"train\.parquet"])
def test_a_temporary_fault_is_retried(download: Download, hub: LoopbackHub, fault: str, name: str) -> None:
    FAULTS[fault](hub, name)
    assert download() == FILES
    assert len([request for request in hub.log if name.strip("/").replace("\\", "") in request.path]) > 1


@pytest.mark.parametrize("fault", ["reset", "truncated"])
def test_a_file_that_breaks_off_resumes_at_its_last_byte(download: Download, hub: LoopbackHub, fault: str) -> None:
    getattr(hub, {"reset": "reset", "truncated": "truncate"}[fault])("train.parquet", after=100_000)
    assert download() == FILES
    assert [request.headers.get("range") for request in asked_for(hub, "train.parquet")] == [None, "bytes=100000-"]


def test_a_wrong_checksum_is_tried_again_and_a_second_is_one_line(download: Download, hub: LoopbackHub) -> None:
    for name in ("train.parquet", "README.md"):  # by sha256 and by git's hash
        hub.corrupt(name)
        assert download() == FILES
        hub.corrupt(name, times=math.inf)
        with refused("datasets.norquad", name, REPO, "2 times", "checksum"):
            download()
        hub.heal()
    assert download() == FILES


@pytest.mark.parametrize("status", [429, 500, 502, 503])
@pytest.mark.parametrize("name", ["/tree/", "train.parquet"])
def test_a_hub_that_never_recovers_is_one_line_in_bounded_time(
    download: Download, hub: LoopbackHub, pauses: list[float], status: int, name: str
) -> None:
    hub.fail(name, status=status, times=math.inf)
    with refused("datasets.norquad", str(status), "dvc repro"):
        download(patience=60.0)
    assert pauses == [1, 2, 4, 8, 16]


def test_a_requested_pause_that_is_too_long_ends_the_download(download: Download, hub: LoopbackHub, pauses: list[float]) -> None:
    hub.fail("train.parquet", status=429, headers={"Retry-After": "3600"}, times=math.inf)
    with refused("datasets.norquad", "429", "3600 s"):
        download()
    assert pauses == []


def test_requested_pauses_are_bounded_in_all(download: Download, hub: LoopbackHub, pauses: list[float]) -> None:
    hub.fail("train.parquet", status=429, headers={"Retry-After": "100"}, times=math.inf)
    with refused("datasets.norquad", "429", "100 s"):
        download(patience=60.0)
    assert pauses == [100.0] * 3


def test_a_connection_with_a_little_progress_each_time_succeeds(download: Download, hub: LoopbackHub) -> None:
    hub.reset("train.parquet", times=12, after=20_000)
    assert download(patience=0.2) == FILES


def test_a_server_that_ignores_ranges_starts_over_a_bounded_number_of_times(
    download: Download, hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    tampered(hub, monkeypatch, lambda request, answer: answer, range=None)
    hub.truncate("train.parquet")
    assert download() == FILES
    hub.truncate("train.parquet", times=math.inf)
    with refused("datasets.norquad", "RemoteProtocolError"):
        download(patience=0.3)


def test_a_body_that_a_proxy_truncates_is_completed(download: Download, hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch) -> None:
    def cut(request: Request, answer: Answer) -> Answer:
        if "range" in request.headers or "train.parquet" not in request.path:
            return answer
        return dataclasses.replace(answer, body=answer.body[:70_000])

    tampered(hub, monkeypatch, cut)
    assert download() == FILES
    assert asked_for(hub, "train.parquet")[-1].headers["range"] == "bytes=70000-"


def test_a_body_that_stays_empty_is_one_line(download: Download, hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch) -> None:
    tampered(hub, monkeypatch, lambda request, answer: dataclasses.replace(answer, body=b"") if "/resolve/" in request.path else answer)
    with refused("datasets.norquad", " 0 of "):
        download(patience=0.2)
    assert len(hub.log) < 20


def test_a_body_that_is_too_long_is_refused(download: Download, hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch) -> None:
    def longer(request: Request, answer: Answer) -> Answer:
        return dataclasses.replace(answer, body=answer.body + b"more") if "train.parquet" in request.path else answer

    tampered(hub, monkeypatch, longer)
    with refused("datasets.norquad", "checksum"):
        download()


def test_all_pages_of_a_listing_are_read(download: Download, hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch) -> None:
    def in_pages(request: Request, answer: Answer) -> Answer:
        if "/tree/" not in request.path:
            return answer
        rows, page = json.loads(answer.body), int(request.query.partition("page=")[2] or 0)
        link = {"Link": f'<{hub.url}{request.path}?recursive=true&page={page + 1}>; rel="next"'} if page + 1 < len(rows) else {}
        return dataclasses.replace(answer, body=json.dumps(rows[page : page + 1]).encode(), headers=answer.headers | link)

    tampered(hub, monkeypatch, in_pages)
    assert download() == FILES


def test_an_answer_that_is_not_a_listing_is_one_line(download: Download, hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch) -> None:
    for page in (b"<html>log in</html>", b'{"hello": "hotel"}'):
        with monkeypatch.context() as context:
            tampered(hub, context, lambda request, answer, page=page: dataclasses.replace(answer, body=page))  # type: ignore[misc]
            with refused("datasets.norquad", "could not be downloaded"):
                download(patience=0.2)


@pytest.mark.parametrize("path", ["../escaped.json", "/tmp/escaped.json", "a/../../escaped.json"])
def test_a_repository_cannot_write_outside_its_folder(download: Download, hub: LoopbackHub, tmp_path: Path, path: str) -> None:
    revision = hub.add_repo("dataset", "a/bad-one", {path: b"[]", "train.json": b"[]"})
    with refused("datasets.norquad", "a/bad-one", "outside its folder"):
        download(revision, "a/bad-one")
    assert not [request for request in hub.log if "/resolve/" in request.path]


def test_files_of_an_earlier_try_are_verified_and_not_downloaded_again(download: Download, hub: LoopbackHub, store: Path) -> None:
    revision = hub.add_repo("dataset", REPO, FILES)
    hub.fail("dev.parquet", status=404)
    with refused("datasets.norquad", "404"):
        download(revision, select=lambda paths, fetch: {"data/dev.parquet", "README.md"})
    [place] = store.iterdir()
    for name, content in {"data/train.parquet": ROWS, "data/dev.parquet": b"x" * 1000, "data/old.parquet": b"unwanted"}.items():
        (place / "files" / name).parent.mkdir(exist_ok=True)
        (place / "files" / name).write_bytes(content)
    hub.log.clear()
    assert download(revision) == FILES
    assert [request.path.rpartition("/")[2] for request in hub.log if "/resolve/" in request.path] == ["dev.parquet"]


def test_a_download_that_another_process_runs_is_one_line(download: Download, hub: LoopbackHub, store: Path) -> None:
    revision = hub.add_repo("dataset", REPO, FILES)
    place = store / f"dataset--ltg--norquad@{revision}"
    place.mkdir(parents=True)
    with FileLock(place / "lock"), refused("datasets.norquad", "another process", "ltg/norquad"):
        download(revision)
    assert download(revision) == FILES


def test_a_full_disk_is_one_line(download: Download, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_space(self: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", no_space)
    with refused("cannot be written", "No space left on device"):
        download()


@pytest.mark.parametrize("token", ["hf_wrong_token", "hf_with\x07bell"])
def test_a_refused_token_is_not_shown(
    download: Download, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, token: str
) -> None:
    monkeypatch.setenv("HF_TOKEN", token)
    key = "datasets.norquad" if token.isprintable() else "HF_TOKEN"
    with caplog.at_level(logging.DEBUG), refused(key, "hf auth login") as caught:
        download()
    assert token not in str(caught.value) + caplog.text


def test_gated_and_private_sets_need_a_token_with_access(download: Download, hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch) -> None:
    gated = hub.add_repo("dataset", "a/gated", FILES, gated=True)
    with refused("datasets.norquad", "a/gated is gated", "403", "/datasets/a/gated"):
        download(gated, "a/gated")
    hub.grant("dataset", "a/gated")
    assert download(gated, "a/gated") == FILES
    assert download(hub.add_repo("dataset", "me/mine", FILES, private=True), "me/mine") == FILES
    monkeypatch.setenv("HF_TOKEN", "")
    with refused("datasets.norquad", "a/gated is gated", "401"):
        download(gated, "a/gated")


def test_an_invalid_repository_name_is_one_line(download: Download) -> None:
    with refused("datasets.norquad", "'a/b/c'", "Hub repository"):
        download("0" * 40, "a/b/c")
