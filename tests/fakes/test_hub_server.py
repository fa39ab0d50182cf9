"""The loopback Hub, as the real clients see it."""

import math
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, hf_hub_download, snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from tests.fakes.hub_server import LoopbackHub

DATA = "ltg/norquad"
REVISION = "0123456789" * 4


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[LoopbackHub]:
    with LoopbackHub() as hub:
        hub.prepare(monkeypatch, tmp_path / "home")
        yield hub


@pytest.fixture
def api(hub: LoopbackHub) -> HfApi:
    return HfApi(endpoint=hub.url)


def fetch(hub: LoopbackHub, name: str = "a.txt", **options: object) -> bytes:
    options = {"repo_type": "dataset", "endpoint": hub.url} | options
    return Path(hf_hub_download(DATA, name, **options)).read_bytes()  # type: ignore[call-overload]


def url(hub: LoopbackHub, name: str = "a.txt") -> str:
    return f"{hub.url}/datasets/{DATA}/resolve/main/{name}"


def test_a_pinned_revision_keeps_its_files_when_the_branch_moves_on(hub: LoopbackHub) -> None:
    first = hub.add_repo("dataset", DATA, {"data/train.parquet": b"old", "gone.txt": b"x"}, REVISION)
    second = hub.add_repo("dataset", DATA, {"data/train.parquet": b"new"})
    assert (first, len(second)) == (REVISION, 40)
    pinned = Path(snapshot_download(DATA, repo_type="dataset", revision=first, endpoint=hub.url))
    newest = Path(snapshot_download(DATA, repo_type="dataset", endpoint=hub.url))
    assert (pinned / "data/train.parquet").read_bytes() == b"old" and (pinned / "gone.txt").exists()
    assert (newest / "data/train.parquet").read_bytes() == b"new" and not (newest / "gone.txt").exists()
    assert ("GET", f"/datasets/{DATA}/resolve/{REVISION}/data/train.parquet") in hub.requests


def test_the_parquet_branch_comes_by_its_quoted_name(hub: LoopbackHub, api: HfApi) -> None:
    hub.add_repo("dataset", DATA, {"scandi_qa.py": b"raise SystemExit"})
    converted = hub.add_repo("dataset", DATA, {"da/train/0000.parquet": b"PAR1"}, branch="refs/convert/parquet")
    options = {"repo_type": "dataset", "revision": "refs/convert/parquet"}
    folder = Path(snapshot_download(DATA, endpoint=hub.url, allow_patterns=["da/*"], **options))  # type: ignore[call-overload]
    assert [path.name for path in folder.rglob("*.parquet")] == ["0000.parquet"]
    assert api.dataset_info(DATA, revision="refs/convert/parquet").sha == converted
    assert hub.files("dataset", DATA).keys() == {"scandi_qa.py"}


def test_information_names_revision_licence_and_files(hub: LoopbackHub, api: HfApi) -> None:
    revision = hub.add_repo("dataset", DATA, {"a.txt": b"hei"}, license="cc0-1.0", gated=True)
    info = api.dataset_info(DATA)
    assert (info.sha, info.card_data and info.card_data["license"], info.gated) == (revision, "cc0-1.0", "auto")
    assert [file.rfilename for file in info.siblings or []] == [".gitattributes", "README.md", "a.txt"]
    assert api.dataset_info(DATA, revision=revision[:9]).sha == revision


def test_what_is_not_there_gets_the_hubs_own_errors(hub: LoopbackHub) -> None:
    hub.add_repo("dataset", DATA, {"a.txt": b"hei"})
    with pytest.raises(RemoteEntryNotFoundError):
        fetch(hub, "b.txt")
    with pytest.raises(RevisionNotFoundError):
        fetch(hub, revision="f" * 40)
    with pytest.raises(RepositoryNotFoundError):
        fetch(hub, repo_type="model")


def test_a_wrong_token_is_refused_even_for_what_is_public(hub: LoopbackHub, api: HfApi) -> None:
    hub.add_repo("dataset", DATA, {"a.txt": b"hei"})
    assert fetch(hub, token=False) == b"hei"
    with pytest.raises(HfHubHTTPError, match="Invalid credentials"):
        api.dataset_info(DATA, token="hf_wrong")


def test_a_gated_set_opens_when_access_is_granted(hub: LoopbackHub) -> None:
    hub.add_repo("dataset", DATA, {"a.txt": b"hei"}, gated=True)
    for token, status in ((False, 401), (None, 403)):
        with pytest.raises(GatedRepoError) as caught:
            fetch(hub, token=token)
        assert caught.value.response.status_code == status
    hub.grant("dataset", DATA)
    assert fetch(hub) == b"hei"
    with pytest.raises(GatedRepoError):
        fetch(hub, token=False, cache_dir=hub_cache(hub))


def hub_cache(hub: LoopbackHub) -> str:
    """Another cache, so that nothing is found there."""
    return os.environ["HF_HOME"] + f"/other-{len(hub.log)}"


def test_a_private_repository_is_there_for_its_owner_only(hub: LoopbackHub, api: HfApi) -> None:
    hub.add_repo("model", "me/x", {"a.txt": b"mine"}, private=True)
    hub.add_repo("model", "you/x", {"a.txt": b"yours"}, private=True)
    assert api.model_info("me/x", token=hub.read_token).private
    for repo_id, token, status in (("me/x", False, 401), ("you/x", None, 404)):
        with pytest.raises(RepositoryNotFoundError) as caught:
            api.model_info(repo_id, token=token)
        assert caught.value.response.status_code == status


@pytest.mark.parametrize(("token", "status"), [(False, 401), ("hf_loopback_read", 403)])
def test_writing_takes_a_token_that_may_write(hub: LoopbackHub, api: HfApi, token: str | bool, status: int) -> None:
    hub.add_repo("model", "me/x", {"a.txt": b"old"})
    for write in (
        lambda: api.create_repo("me/new", token=token),
        lambda: api.upload_file(path_or_fileobj=b"new", path_in_repo="a.txt", repo_id="me/x", token=token),
    ):
        with pytest.raises(HfHubHTTPError) as caught:
            write()
        assert caught.value.response.status_code == status
    assert hub.files("model", "me/x") == {"a.txt": b"old"}


def test_one_commit_adds_by_both_ways_and_deletes(hub: LoopbackHub, api: HfApi) -> None:
    weights = os.urandom(2_500)
    api.create_repo("me/x")
    with pytest.raises(HfHubHTTPError, match="already created"):
        api.create_repo("me/x")
    head = api.create_commit("me/x", [CommitOperationAdd("old.txt", b"o")], commit_message="one").oid
    operations: list[CommitOperationAdd | CommitOperationDelete] = [
        CommitOperationAdd("model.safetensors", weights),
        CommitOperationAdd("small.bin", b"1"),
        CommitOperationAdd("config.json", b"{}"),
        CommitOperationDelete("old.txt"),
    ]
    api.create_commit("me/x", operations, commit_message="two", parent_commit=head)
    assert hub.files("model", "me/x") == {"config.json": b"{}", "model.safetensors": weights, "small.bin": b"1"}
    assert [commit.message for commit in hub.commits("model", "me/x")] == ["initial commit", "one", "two"]
    assert len([path for method, path in hub.requests if method == "PUT"]) == 2
    with pytest.raises(HfHubHTTPError) as caught:
        api.create_commit("me/x", [CommitOperationAdd("a", b"a")], commit_message="late", parent_commit=head)
    assert caught.value.response.status_code == 412


def test_ranges_are_served_as_http_has_them(hub: LoopbackHub) -> None:
    hub.add_repo("dataset", DATA, {"a.txt": b"0123456789"})
    for wanted, status, body in (
        ("bytes=4-", 206, b"456789"),
        ("bytes=4-5", 206, b"45"),
        ("bytes=-3", 206, b"789"),
        ("bytes=8-99", 206, b"89"),
    ):
        answer = httpx2.get(url(hub), headers={"Range": wanted})
        assert (answer.status_code, answer.content) == (status, body)
    assert httpx2.get(url(hub), headers={"Range": "bytes=10-"}).status_code == 416
    assert httpx2.head(url(hub)).headers["Content-Length"] == "10"


def test_a_reset_breaks_a_download_once(hub: LoopbackHub) -> None:
    hub.add_repo("dataset", DATA, {"a.txt": b"0123456789" * 1000})
    hub.reset(r"/a\.txt$")
    with pytest.raises(httpx2.ReadError):
        fetch(hub)
    assert len(fetch(hub)) == 10_000


def test_a_corrupt_body_has_the_right_length_and_another_content(hub: LoopbackHub) -> None:
    hub.add_repo("dataset", DATA, {"a.txt": b"hei verden"})
    hub.corrupt("a.txt")
    first, second = fetch(hub), fetch(hub, force_download=True)
    assert len(first) == len(second) and first != second == b"hei verden"


def test_a_failure_strikes_as_often_as_asked_and_only_what_matches(hub: LoopbackHub) -> None:
    hub.add_repo("dataset", DATA, {"a.txt": b"a", "b.txt": b"b"})
    hub.fail("a.txt", status=429, times=2, headers={"Retry-After": "1"}, methods=("GET",))
    assert [httpx2.head(url(hub)).status_code, httpx2.get(url(hub, "b.txt")).status_code] == [200, 200]
    answers = [httpx2.get(url(hub)) for _ in range(3)]
    assert [(answer.status_code, answer.headers.get("Retry-After")) for answer in answers] == [
        (429, "1"),
        (429, "1"),
        (200, None),
    ]
    hub.fail("a.txt", status=500, times=math.inf)
    assert [httpx2.get(url(hub)).status_code for _ in range(3)] == [500] * 3
    hub.heal()
    assert httpx2.get(url(hub)).status_code == 200


def test_a_slow_answer_runs_into_the_clients_timeout(hub: LoopbackHub) -> None:
    hub.add_repo("dataset", DATA, {"a.txt": b"a"})
    hub.delay("a.txt", 10.0)
    with pytest.raises(httpx2.ReadTimeout):
        httpx2.get(url(hub), timeout=0.2)


def test_a_closed_hub_is_gone_for_connections_that_were_kept_alive(tmp_path: Path) -> None:
    with LoopbackHub() as hub, httpx2.Client() as client:
        assert client.get(f"{hub.url}/api/models/a/b").status_code == 401
        hub.__exit__(None, None, None)
        with pytest.raises(httpx2.ConnectError):
            client.get(f"{hub.url}/api/models/a/b")
        port = int(hub.url.rpartition(":")[2])
        with pytest.raises(ConnectionError):
            socket.create_connection(("127.0.0.1", port), timeout=1)
