"""Checkpoints are uploaded during training, by the real huggingface_hub to a Hub on loopback."""

import json
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import snapshot_download
from sentence_transformers import SparseEncoder
from transformers import TrainerCallback

from stages.train.upload import UploadCallback
from tests.fakes.hub_server import LoopbackHub
from tests.unit.train.conftest import Run

REPO = "me/half-trained"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[LoopbackHub]:
    with LoopbackHub() as hub:
        hub.prepare(monkeypatch, tmp_path / "home")
        yield hub


class Patient(TrainerCallback):
    """Waits for the upload of each checkpoint."""

    def __init__(self, upload: UploadCallback) -> None:
        self.upload = upload

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        assert self.upload._process, "the upload did not start; see stderr"
        self.upload._process.wait(300)


def test_each_checkpoints_model_goes_up_and_nothing_else(run: Run, hub: LoopbackHub, tmp_path: Path) -> None:
    upload = UploadCallback(REPO, tmp_path / "checkpoints" / "upload")
    model, _ = run(callbacks=[upload, Patient(upload)], save_steps=6)
    _, *commits = hub.commits("model", REPO)
    assert [commit.message for commit in commits] == ["Checkpoint of step 6", "Checkpoint of step 12"]
    assert hub.repo("model", REPO).private
    files = hub.files("model", REPO)
    assert {name.split("/")[0] for name in files} == {"last-checkpoint"}
    assert not [name for name in files if name.endswith((".pt", ".pth", ".bin", ".txt", ".parquet", "trainer_state.json"))]
    assert not [name for name, content in files.items() if str(tmp_path).encode() in content]
    assert not (tmp_path / "checkpoints" / "upload").exists()
    folder = snapshot_download(REPO, endpoint=hub.url, local_dir=tmp_path / "down")
    down = SparseEncoder(f"{folder}/last-checkpoint")
    assert (down.encode_query(["Biblioteket"]).to_dense() == model.encode_query(["Biblioteket"]).to_dense()).all()


def test_a_hub_that_fails_is_reported_once_and_does_not_change_the_run(run: Run, hub: LoopbackHub, tmp_path: Path, capsys: Any) -> None:
    _, alone = run(save_steps=6)
    hub.fail("/api/models", status=403, times=math.inf)
    capsys.readouterr()
    upload = UploadCallback(REPO, tmp_path / "checkpoints" / "upload")
    _, trained = run(callbacks=[upload, Patient(upload)], save_steps=6)
    assert trained == alone
    lines = [line for line in capsys.readouterr().err.splitlines() if "hub.strategy" in line]
    assert len(lines) == 1 and "the token may not write to me/half-trained (403)" in lines[0] and hub.token not in lines[0]
    assert len([path for method, path in hub.requests if method == "GET"]) >= 2


def test_a_hub_that_hangs_does_not_delay_the_run(run: Run, hub: LoopbackHub, tmp_path: Path, capsys: Any) -> None:
    hub.delay(".", 600.0, times=math.inf)
    upload = UploadCallback(REPO, tmp_path / "checkpoints" / "upload", last_wait=0.5)
    start = time.monotonic()
    run(callbacks=[upload], save_steps=3)
    assert time.monotonic() - start < 300
    assert "unfinished 0 s after the last step" in capsys.readouterr().err
    assert not (tmp_path / "checkpoints" / "upload").exists()


def test_the_trainers_own_files_are_not_linked(run: Run, hub: LoopbackHub, tmp_path: Path) -> None:
    linked: list[str] = []

    class Look(TrainerCallback):
        def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            linked.extend(path.name for path in (tmp_path / "checkpoints" / "upload").rglob("*"))

    run(callbacks=[UploadCallback(REPO, tmp_path / "checkpoints" / "upload"), Look()], save_steps=12)
    assert "model.safetensors" in linked and not {"optimizer.pt", "scheduler.pt", "rng_state.pth"} & set(linked)


def test_the_finished_model_goes_to_the_root_and_keeps_the_checkpoint(run: Run, hub: LoopbackHub, tmp_path: Path) -> None:
    from stages.hub.publish import publish, publish_checkpoint

    model, _ = run(save_steps=6)
    checkpoint = tmp_path / "checkpoints" / "checkpoint-12"
    publish_checkpoint(checkpoint, 12, REPO, endpoint=hub.url)
    up = set(hub.files("model", REPO))
    model.save_pretrained(str(tmp_path / "final"), create_model_card=False)
    publish(tmp_path / "final", "# card\n", REPO, endpoint=hub.url)
    assert up < set(hub.files("model", REPO)) and "model.safetensors" in hub.files("model", REPO)
    (checkpoint / "tokenizer.json").unlink()
    publish_checkpoint(checkpoint, 13, REPO, endpoint=hub.url)
    assert "last-checkpoint/tokenizer.json" not in hub.files("model", REPO)
    assert "tokenizer.json" in hub.files("model", REPO)
    json.loads(hub.files("model", REPO)["modules.json"])
