"""Publishing, by the real huggingface_hub to the loopback Hub."""

import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from huggingface_hub import snapshot_download

from stages.hub.publish import fingerprint, model_files, needs_push, publish
from stages.runtime.errors import UserError
from tests.fakes.hub_server import LoopbackHub
from tests.refused import names, refused

REPO = "me/nordic-splade"
CARD = "---\nlibrary_name: sentence-transformers\nlanguage:\n- nb\n---\n\n# nordic-splade\n"
MODEL = {
    "modules.json": b'[{"idx": 0, "path": "", "type": "t"}, {"idx": 1, "path": "1_SpladePooling", "type": "p"}]',
    "1_SpladePooling/config.json": b'{"pooling_strategy": "max"}',
    "config.json": b'{"model_type": "norbert", "auto_map": {"AutoModel": "modeling_norbert.NorbertModel"}}',
    "config_sentence_transformers.json": b"{}",
    "sentence_bert_config.json": b"{}",
    "modeling_norbert.py": b"class NorbertModel: ...\n",
    "model.safetensors": bytes(range(256)) * 40,
    "tokenizer.json": b"{}",
    "tokenizer_config.json": b"{}",
    "vocab.txt": b"[PAD]\nhei\n",
}
NOT_THE_MODEL = (
    "README.md", "1_SpladePooling/README.md", "optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json",
    "training_args.bin", "pytorch_model.bin", "train.parquet", "results.csv", "mlflow.db", "train.log", "notes.txt",
    ".env", ".hidden/config.json", "checkpoint-10/model.safetensors", "checkpoint-10/config.json", "logs/config.json",
    "runs/events.out.tfevents", "eval/results_config.json",
)  # fmt: skip


def write(folder: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write(tmp_path / "final", MODEL | dict.fromkeys(NOT_THE_MODEL, b"not for the world"))


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[LoopbackHub]:
    with LoopbackHub(organisations=("team",)) as hub:
        hub.prepare(monkeypatch, tmp_path / "home")
        yield hub


def failure(folder: Path, hub: LoopbackHub, repo_id: str = REPO, **options: object) -> str:
    """The one-line error of a failing push; its patience is short."""
    with pytest.raises(UserError) as caught:
        publish(folder, CARD, repo_id, **({"endpoint": hub.url, "patience": 0.2} | options))  # type: ignore[arg-type]
    message = str(caught.value)
    assert "\n" not in message and ";" in message and hub.token not in message
    return message


def test_a_push_is_one_commit_of_model_and_card_in_a_private_repository(model: Path, hub: LoopbackHub) -> None:
    published = publish(model, CARD, REPO, endpoint=hub.url, commit_message="Train on NLI")
    assert hub.files("model", REPO) == MODEL | {"README.md": CARD.encode()}
    assert hub.repo("model", REPO).private
    first, *commits = hub.commits("model", REPO)
    assert (first.message, [(made.message, made.oid) for made in commits]) == (
        "initial commit",
        [("Train on NLI", published.oid)],
    )
    assert published.repo_url == f"{hub.url}/{REPO}"
    assert any(path == f"/{REPO}.git/info/lfs/objects/batch" for _, path in hub.requests)


def test_a_pushed_model_downloads_byte_for_byte(model: Path, hub: LoopbackHub, tmp_path: Path) -> None:
    published = publish(model, CARD, REPO, endpoint=hub.url)
    folder = snapshot_download(REPO, revision=published.oid, endpoint=hub.url, local_dir=tmp_path / "down")
    assert {name: (Path(folder) / name).read_bytes() for name in MODEL} == MODEL
    assert (Path(folder) / "README.md").read_text() == CARD


def test_a_public_repository_needs_private_false(model: Path, hub: LoopbackHub) -> None:
    publish(model, CARD, "team/public", private=False, endpoint=hub.url)
    assert not hub.repo("model", "team/public").private
    assert names(failure(model, hub, "team/public"), "hub.private … team/public … public")
    assert len(hub.commits("model", "team/public")) == 2


def test_the_next_version_deletes_stale_model_files_and_nothing_else(model: Path, hub: LoopbackHub) -> None:
    mine = {"LICENSE": b"mit", "figure.png": b"png", "notes.txt": b"mine", "last-checkpoint/config.json": b"c"}
    stale = {
        "pytorch_model.bin": b"p",
        "2_SparseAutoEncoder/model.safetensors": b"s",
        "old_code.py": b"",
        "spm.model": b"",
    }
    hub.add_repo("model", REPO, MODEL | {"config.json": b"{}", "README.md": b"old"} | mine | stale, private=True)
    publish(model, CARD, REPO, endpoint=hub.url)
    assert hub.files("model", REPO) == MODEL | {"README.md": CARD.encode()} | mine
    assert len(hub.commits("model", REPO)) == 2
    assert ".gitattributes" in hub.commits("model", REPO)[-1].files


def test_the_folders_of_a_routers_routes_belong_to_the_model(tmp_path: Path) -> None:
    router = {"types": {"query_0_SparseStaticEmbedding": "q", "document_0_Transformer": "d"}, "structure": {}}
    files = {
        "modules.json": b'[{"idx": 0, "path": "", "type": "sentence_transformers.base.modules.router.Router"}]',
        "router_config.json": json.dumps(router).encode(),
        "query_0_SparseStaticEmbedding/model.safetensors": b"q",
        "document_0_Transformer/model.safetensors": b"d",
        "document_0_Transformer/sentencepiece.bpe.model": b"s",
    }
    folder = write(tmp_path, files)
    assert model_files(folder).keys() == files.keys()


def test_the_fingerprint_follows_names_and_contents_of_the_model_alone(model: Path) -> None:
    before = fingerprint(model)
    write(model, {"README.md": b"another card", "trainer_state.json": b"later"})
    assert fingerprint(model) == before
    write(model, {"vocab.txt": b"[PAD]\nhallo\n"})
    changed = fingerprint(model)
    (model / "vocab.txt").rename(model / "merges.txt")
    assert len({before, changed, fingerprint(model)}) == 3


def test_files_given_beside_the_folder_are_pushed_in_place_of_its_own_and_change_the_fingerprint(model: Path, hub: LoopbackHub) -> None:
    write(model, {"retrieval.json": b"of training"})
    assert model_files(model)["retrieval.json"] == model / "retrieval.json"
    assert fingerprint(model) == fingerprint(model, {"retrieval.json": b"of training"}) != fingerprint(model, {"retrieval.json": b"pruned"})
    publish(model, CARD, REPO, more={"retrieval.json": b"pruned"}, endpoint=hub.url)
    assert hub.files("model", REPO)["retrieval.json"] == b"pruned"


def test_only_a_changed_model_or_repository_needs_a_push() -> None:
    needed, receipt = [], None
    for print_, repo in (("a", REPO), ("a", REPO), ("b", REPO), ("a", REPO), ("a", "team/x")):
        needed.append(needs_push(receipt, print_, repo))
        receipt = {"fingerprint": print_, "repo_id": repo}
    assert needed == [True, False, True, True, True]


def test_a_hub_that_comes_back_gets_its_one_commit(model: Path, hub: LoopbackHub) -> None:
    for request in (r"/api/models/me/nordic-splade$", "/api/repos/create", "/api/validate-yaml", "/commit/"):
        hub.fail(request, status=503)
    publish(model, CARD, REPO, endpoint=hub.url, patience=2.0)
    assert len(hub.commits("model", REPO)) == 2 and hub.files("model", REPO).keys() == MODEL.keys() | {"README.md"}


@pytest.mark.parametrize("fault", ["reset", "truncate"])
def test_a_commit_whose_answer_is_lost_is_not_repeated(model: Path, hub: LoopbackHub, fault: str) -> None:
    hub.add_repo("model", REPO, {"pytorch_model.bin": b"old"}, private=True)
    getattr(hub, fault)("/commit/", methods=("POST",), after=0)
    published = publish(model, CARD, REPO, endpoint=hub.url, patience=2.0)
    commits = hub.commits("model", REPO)
    assert len(commits) == 2 and published.oid == commits[-1].oid
    assert [path for _, path in hub.requests].count("/api/models/me/nordic-splade/commit/main") == 1


def test_an_upload_that_fails_longer_than_huggingface_hub_retries_is_retried(
    model: Path, hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    hub.fail("/lfs/", methods=("PUT",), status=500, times=7)  # it tries six times
    publish(model, CARD, REPO, endpoint=hub.url)
    assert len(hub.commits("model", REPO)) == 2


def test_an_upload_that_is_refused_gives_the_reason(model: Path, hub: LoopbackHub) -> None:
    hub.fail("/lfs/", methods=("PUT",), status=413, headers={"X-Error-Message": "Too large"})
    assert names(failure(model, hub), f"hub.push … {REPO} … 413: Too large")


@pytest.mark.parametrize("request_", ["/api/", "/api/validate-yaml", "/commit/"])
def test_a_hub_that_stays_unavailable_is_one_line(model: Path, hub: LoopbackHub, request_: str) -> None:
    hub.fail(request_, status=503, times=math.inf)
    assert names(failure(model, hub), f"hub.push … {hub.url} … available")
    assert len(hub.commits("model", REPO) if request_ != "/api/" else [None]) == 1 and len(hub.requests) < 40


def test_a_wrong_token_is_named_with_its_remedy(model: Path, hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_expired")
    message = failure(model, hub)
    assert names(message, "hub.push … token … 401 … `hf auth login`")
    assert "hf_expired" not in message


def test_a_malformed_token_is_not_quoted(model: Path, hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_sécret token")
    message = failure(model, hub)
    assert names(message, "HF_TOKEN") and "cret" not in message and hub.requests == []


def test_a_missing_token_is_one_line_before_the_first_request(model: Path, hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_TOKEN")
    assert names(failure(model, hub), "hub.push … no Hub token … `hf auth login`")
    assert hub.requests == []


@pytest.mark.parametrize("repo_id", ["you/theirs", "stranger/new"])
def test_a_namespace_of_another_is_refused(model: Path, hub: LoopbackHub, repo_id: str) -> None:
    hub.add_repo("model", "you/theirs", {"config.json": b"{}"}, private=True)
    message = failure(model, hub, repo_id)
    assert names(message, f"hub.model_id … token … {repo_id} … 403")


@pytest.mark.parametrize("exists", [False, True])
def test_a_token_that_only_reads_is_refused(model: Path, hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch, exists: bool) -> None:
    if exists:
        hub.add_repo("model", REPO, {"config.json": b"{}"}, private=True)
    monkeypatch.setenv("HF_TOKEN", hub.read_token)
    assert names(failure(model, hub), f"hub.model_id … token … {REPO} … 403")


def test_a_concurrent_commit_is_not_overwritten(model: Path, hub: LoopbackHub) -> None:
    hub.delay("/preupload/", 0.5)
    with ThreadPoolExecutor() as pool:
        message = pool.submit(failure, model, hub)
        while not any("/preupload/" in path for _, path in hub.requests):
            time.sleep(0.01)
        hub.add_repo("model", REPO, {"config.json": b"of somebody else"})
    assert names(message.result(), f"hub.model_id … {REPO} … during the push … 412")
    assert hub.files("model", REPO) == {"config.json": b"of somebody else"}


def test_a_conflict_is_one_line(model: Path, hub: LoopbackHub) -> None:
    hub.fail("/commit/", status=409)
    assert names(failure(model, hub), f"hub.model_id … {REPO} … during the push … 409")


def test_other_refusals_give_the_hubs_reason(model: Path, hub: LoopbackHub) -> None:
    hub.fail("/preupload/", status=402, headers={"X-Error-Message": f"Private storage is full for {hub.token}"})
    assert names(failure(model, hub), "hub.push … 402 … Private storage is full for <token>")


def test_a_card_that_the_hub_refuses_stops_the_push(model: Path, hub: LoopbackHub) -> None:
    with refused("hub.push", "card's header"):
        publish(model, "---\nlicense: All rights reserved!\n---\n", REPO, endpoint=hub.url)
    assert hub.files("model", REPO) == {}


def test_an_endpoint_without_a_server_is_one_line(model: Path, hub: LoopbackHub) -> None:
    hub.__exit__(None, None, None)
    message = failure(model, hub)
    assert names(message, f"hub.push … {hub.url} … available … HF_ENDPOINT")
    assert names(failure(model, hub, endpoint="ftp://127.0.0.1"), "HF_ENDPOINT … http(s)")


@pytest.mark.parametrize("repo_id", ["splade", "me/", "a/b/c", "me/æøå", "", "../x", "me/x.git"])
def test_an_invalid_repository_name_is_refused_before_the_first_request(model: Path, hub: LoopbackHub, repo_id: str) -> None:
    message = failure(model, hub, repo_id)
    assert names(message, f"hub.model_id … {repo_id!r} … Hub repository") and hub.requests == []


def test_a_folder_without_a_model_or_with_pickled_weights_is_refused(tmp_path: Path, hub: LoopbackHub) -> None:
    assert names(failure(tmp_path / "none", hub), f"{tmp_path / 'none'} … no … sentence-transformers model")
    pickled = {name: content for name, content in MODEL.items() if name != "model.safetensors"}
    folder = write(tmp_path / "final", pickled | {"pytorch_model.bin": b"pickle"})
    assert names(failure(folder, hub), f"{folder} … no safetensors weights")


def test_a_path_of_this_machine_is_not_published(model: Path, hub: LoopbackHub) -> None:
    write(model, {"config.json": json.dumps({"text": {"_name_or_path": str(model)}, "sep": "/"}).encode()})
    assert names(failure(model, hub), "config.json … path") and hub.requests == []


def test_endpoint_and_token_come_from_the_environment(model: Path, hub: LoopbackHub, tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from stages.hub.publish import publish\n"
        "from stages.runtime.errors import run_stage\n"
        f"run_stage(lambda: print(publish(Path(sys.argv[1]), {CARD!r}, {REPO!r}).repo_url))"
    )
    for token, offline, said in ((None, "0", "no Hub token"), ("", "1", "HF_HUB_OFFLINE is set"), ("", "0", "")):
        environment = os.environ | hub.environment(tmp_path / "other", token=token) | {"HF_HUB_OFFLINE": offline}
        command = [sys.executable, "-c", code, str(model)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if said:
            assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1) and said in done.stderr
        else:
            assert (done.returncode, done.stdout) == (0, f"{hub.url}/{REPO}\n"), done.stderr
            assert hub.token not in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["splade", "inference-free-splade", "csr"])
def test_a_real_model_downloads_complete_and_the_code_of_its_card_runs(hub: LoopbackHub, tmp_path: Path, architecture: str) -> None:
    from stages.push.card import model_card
    from tests.tiny_models import save

    folder = save(tmp_path / "final", architecture)
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert names == model_files(folder).keys() | {"README.md"}
    card = model_card(
        model_id=REPO,
        architecture=architecture,
        base_model="built-in sample",
        base_revision=None,
        languages=["nb"],
        training_sets=[],
        params={},
        evaluation={},
        commit=None,
    )
    publish(folder, card, REPO, endpoint=hub.url)
    code = card.split("```python\n")[1].split("```")[0] + "\nprint(model.decode(query, top_k=3))" * (architecture != "csr")
    environment = os.environ | hub.environment(tmp_path / "other")
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.startswith("tensor([["), done.stderr
