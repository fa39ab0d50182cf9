"""Tracking records what it is given, and can neither fail a run, change its numbers nor delay it."""

import os
import random
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from transformers import Trainer, TrainerCallback, TrainingArguments

from stages.tracking import run
from stages.tracking.git import git_state
from stages.tracking.run import Tracker, flatten, store_uri
from tests import ROOT


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("MLFLOW_")] + ["RANK"]:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose database four processes made at the same time; tests share it and use different keys."""
    folder = tmp_path_factory.mktemp("store")
    trackers = [tracker(folder, f"four{number}") for number in range(4)]
    trackers[0].params({f"p{number}": "x" * 1000 for number in range(150)})
    for number, one in enumerate(trackers):
        one.metrics({"loss": number}, 7)
    for step in range(3):
        trackers[1].metrics({f"m{number}": number for number in range(1100)}, step)
    for one in trackers:
        one.close()
    return folder


def tracker(folder: Path, key: str, **changes: Any) -> Tracker:
    return Tracker(store_uri(folder), **{"experiment": "test", "run_key": key, "name": key, "tags": {}, "folder": str(folder)} | changes)


def only_run(uri: str, key: str) -> Run:
    api = MlflowClient(tracking_uri=uri)
    experiment = api.get_experiment_by_name("test")
    assert experiment is not None
    found = api.search_runs([experiment.experiment_id], f"tags.run_key = '{key}'")
    assert len(found) == 1
    return found[0]


def generators() -> tuple[Any, ...]:
    """The state of the global random generators of Python, NumPy and torch."""
    return random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()


def curve(uri: str, key: str, metric: str) -> list[tuple[int, float]]:
    history = MlflowClient(tracking_uri=uri).get_metric_history(only_run(uri, key).info.run_id, metric)
    return sorted((point.step, point.value) for point in history)


def wait_until(reached: Callable[[Run], bool], uri: str, key: str) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        with suppress(AssertionError, MlflowException):  # the store may not exist yet
            if reached(only_run(uri, key)):
                return
        time.sleep(0.1)
    raise AssertionError(f"{key} is not as expected after 120 s")


# The record


def test_evaluation_adds_to_the_run_of_its_training_and_nothing_is_printed(store: Path, capfd: pytest.CaptureFixture[str]) -> None:
    before = generators()
    other = tracker(store, "a2")
    other.metrics({"loss": 3.0}, 0)
    with tracker(store, "a1", name="first", tags={"architecture": "splade", "dvc_exp_name": "odd-fish"}) as training:
        training.params({"loss": {"weight": 5e-4}, "seed": 12, "evaluation": {"batch": 8}})
        for step in range(5):
            training.metrics({"loss": 1 / (1 + step), "learning_rate": 1e-5}, step)
    with tracker(store, "a1", tags={"git_commit": "c0ffee"}) as evaluation:
        evaluation.params({"seed": 12, "evaluation": {"batch": 16, "k": 10}})
        evaluation.metrics({"mean": {"ndcg@10": np.float64(0.75), "note": "not a number"}, "done": True})
    other.close()
    printed = capfd.readouterr()
    assert generators() == before

    uri = store_uri(store)
    found = only_run(uri, "a1")
    assert found.info.run_name == "first" and found.info.status == "FINISHED"
    assert found.data.params == {"loss.weight": "0.0005", "seed": "12", "evaluation.batch": "8", "evaluation.k": "10"}
    assert curve(uri, "a1", "loss") == [(step, 1 / (1 + step)) for step in range(5)]
    assert set(found.data.metrics) == {"loss", "learning_rate", "mean.ndcg_at_10"}
    assert found.data.metrics["mean.ndcg_at_10"] == 0.75
    wanted = {"architecture": "splade", "dvc_exp_name": "odd-fish", "git_commit": "c0ffee", "evaluation.batch": "16"}
    assert wanted.items() <= found.data.tags.items()
    assert curve(uri, "a2", "loss") == [(0, 3.0)]
    assert printed == ("", "")


def test_four_processes_that_open_a_fresh_store_at_once_all_succeed(store: Path) -> None:
    for number in range(4):
        assert curve(store_uri(store), f"four{number}", "loss") == [(7, float(number))]
        assert only_run(store_uri(store), f"four{number}").info.status == "FINISHED"


def test_the_trials_of_a_sweep_are_children_of_one_run(store: Path) -> None:
    for key in ("t1", "t2"):
        tracker(store, key, parent="sweep s").close()
    runs = [only_run(store_uri(store), key) for key in ("t1", "t2", "sweep s")]
    assert [run.data.tags.get("mlflow.parentRunId") for run in runs] == [runs[2].info.run_id, runs[2].info.run_id, None]
    assert runs[2].info.run_name == "sweep s" and runs[2].info.status == "FINISHED"


def test_more_values_than_fit_a_request_or_the_pipe_arrive(store: Path) -> None:
    assert only_run(store_uri(store), "four0").data.params == {f"p{number}": "x" * 1000 for number in range(150)}
    assert len(only_run(store_uri(store), "four1").data.metrics) == 1101
    assert curve(store_uri(store), "four1", "m1099") == [(step, 1099.0) for step in range(3)]


def test_ctrl_c_and_an_exception_mark_the_run_and_ctrl_c_gives_the_terminal_back_at_once(
    store: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(run.CLOSE_SECONDS, "KILLED", 0.1)
    failed, interrupted = tracker(store, "d1"), tracker(store, "d2")
    interrupted.metrics({"loss": 1.0}, 1)
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt), interrupted:
        raise KeyboardInterrupt
    assert time.monotonic() - began < 1
    with pytest.raises(ValueError), failed:
        raise ValueError("boom")
    wait_until(lambda run: run.info.status == "KILLED", store_uri(store), "d2")
    assert curve(store_uri(store), "d2", "loss") == [(1, 1.0)]
    assert only_run(store_uri(store), "d1").info.status == "FAILED"
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(("code", "status"), [(None, "FINISHED"), (0, "FINISHED"), (2, "FAILED"), ("why", "FAILED")])
def test_sys_exit_ends_the_run_with_the_status_of_its_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: Any, status: str) -> None:
    closed: list[str] = []
    one = Tracker(None)
    monkeypatch.setattr(one, "close", closed.append)
    with pytest.raises(SystemExit), one:
        sys.exit(code)
    assert closed == [status]


def test_the_curve_of_a_process_killed_outright_is_kept_and_its_run_marked(store: Path) -> None:
    script = """
import os, signal, sys
from pathlib import Path
from stages.tracking.run import Tracker, store_uri
tracker = Tracker(store_uri(Path(sys.argv[1])), experiment="test", run_key="e1", name=None, tags={}, folder=sys.argv[1])
tracker.metrics({"loss": 0.5}, 9)
assert not any(name.split(".")[0] == "mlflow" for name in sys.modules)
os.kill(os.getpid(), signal.SIGKILL)
"""
    ended = subprocess.run([sys.executable, "-c", script, str(store)], cwd=ROOT, capture_output=True, timeout=120)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    wait_until(lambda run: run.info.status == "KILLED", store_uri(store), "e1")
    assert curve(store_uri(store), "e1", "loss") == [(9, 0.5)]


def test_no_process_is_started_if_tracking_is_off_or_the_rank_is_not_0(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("started")

    monkeypatch.setattr(run.subprocess, "Popen", refuse)
    for uri, rank in ((None, "0"), (store_uri(tmp_path), "1")):
        monkeypatch.setenv("RANK", rank)
        with Tracker(uri) as one:
            one.params({"seed": 1})
            one.metrics({"loss": 1.0})
    assert not list(tmp_path.iterdir())


def test_a_deleted_experiment_says_how_to_restore_it(store: Path, capfd: pytest.CaptureFixture[str]) -> None:
    api = MlflowClient(tracking_uri=store_uri(store))
    number = api.create_experiment("deleted")
    api.delete_experiment(number)
    one = tracker(store, "g1", experiment="deleted")
    one.metrics({"loss": 1.0}, 1)
    one.close()
    (line,) = lines(capfd.readouterr().err)
    assert "the experiment 'deleted' was deleted" in line and "the run continues" in line
    assert f"`mlflow experiments restore --experiment-id {number}`" in line
    api.restore_experiment(number)
    tracker(store, "g1", experiment="deleted").close()
    assert len(api.search_runs([number])) == 1


# The server that goes away


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


class Server:
    """A real `mlflow server` on loopback, with its database in ``folder``."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.uri = f"http://127.0.0.1:{self.port}"
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        backend = f"sqlite:///{self._folder / 'server.db'}"
        options = ["--backend-store-uri", backend, "--host", "127.0.0.1", "--port", str(self.port), "--workers", "1"]
        with (self._folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "mlflow", "server", *options, "--default-artifact-root", str(self._folder)],
                cwd=self._folder,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + 240
        while time.monotonic() < deadline:
            with suppress(urllib.error.URLError, OSError), urllib.request.urlopen(f"{self.uri}/health", timeout=1):
                return
            time.sleep(0.1)
        raise AssertionError((self._folder / "server.log").read_text())

    def kill(self) -> None:
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    started = Server(tmp_path)
    started.start()
    yield started
    started.kill()


def lines(captured: str) -> list[str]:
    return captured.strip().splitlines()


def test_a_server_killed_during_a_run_is_reported_once_and_stops_nothing(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
    one = tracker(tmp_path / "unused", "s1", tags={"profile": "sample"})
    one.params({"seed": 1})
    one.metrics({"loss": 1.0}, 1)
    wait_until(lambda run: bool(run.data.metrics), server.uri, "s1")
    found = only_run(server.uri, "s1")
    assert found.data.tags["profile"] == "sample" and found.data.metrics == {"loss": 1.0}
    assert capfd.readouterr().err == ""

    server.kill()
    began = time.monotonic()
    for step in range(2, 50):
        one.metrics({"loss": 1 / step}, step)
    assert time.monotonic() - began < 1
    one.close()
    assert time.monotonic() - began < 15
    (line,) = lines(capfd.readouterr().err)
    assert server.uri in line and "the run continues" in line
    assert not (tmp_path / "unused").exists()


def test_a_store_that_comes_back_gets_what_it_missed(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store_uri(store))
    (tmp_path / "blocked").write_text("where the folder of the lock should be")
    one = tracker(tmp_path / "blocked", "t1")
    said, step = "", 0
    deadline = time.monotonic() + 120
    while not said and time.monotonic() < deadline:
        step += 1
        one.metrics({"loss": 1 / step}, step)
        time.sleep(0.05)
        said += capfd.readouterr().err
    assert len(lines(said)) == 1 and "NotADirectoryError" in said
    (tmp_path / "blocked").unlink()
    (tmp_path / "blocked").mkdir()
    one.close()
    assert capfd.readouterr().err == ""
    assert curve(store_uri(store), "t1", "loss") == [(number, 1 / number) for number in range(1, step + 1)]
    assert only_run(store_uri(store), "t1").info.status == "FINISHED"


@pytest.mark.parametrize(("request_seconds", "close_seconds", "reason"), [("1", 60.0, "timed out"), ("600", 1.0, "no answer within 1 s")])
def test_a_server_that_never_answers_delays_the_run_by_seconds_only(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    request_seconds: str,
    close_seconds: float,
    reason: str,
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", request_seconds)
    monkeypatch.setitem(run.CLOSE_SECONDS, "FINISHED", close_seconds)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{silent.getsockname()[1]}")
        began = time.monotonic()
        with tracker(tmp_path, "h1") as one:
            one.metrics({f"m{number}": number for number in range(20_000)}, 1)  # more than a pipe holds
            one.metrics({"loss": 1.0}, 2)
            assert time.monotonic() - began < 1
        assert time.monotonic() - began < 15
    (line,) = lines(capfd.readouterr().err)
    assert reason in line


def test_an_unreachable_server_is_reported_once_without_its_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    port = free_port()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://me:hunter2@127.0.0.1:{port}")
    began = time.monotonic()
    with tracker(tmp_path, "g1") as one:
        for step in range(100):
            one.metrics({"loss": 1.0}, step)
        assert time.monotonic() - began < 1
    assert time.monotonic() - began < 15
    (line,) = lines(capfd.readouterr().err)
    assert f"http://127.0.0.1:{port}: ConnectionRefusedError" in line
    assert "hunter2" not in line


def test_a_tracking_process_that_dies_is_reported_once(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    one = tracker(tmp_path, "i1")
    assert one._worker is not None
    one._worker.kill()
    one._worker.wait()
    for step in range(3):
        one.metrics({"loss": 1.0}, step)
    one.close()
    (line,) = lines(capfd.readouterr().err)
    assert "the process ended early" in line


def test_a_value_that_cannot_be_sent_ends_tracking_but_not_the_run(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    class Unprintable:
        def __str__(self) -> str:
            raise RuntimeError("no")

    with tracker(tmp_path, "j1") as one:
        one.params({"bad": Unprintable()})
        one.metrics({"loss": 1.0}, 1)
    assert len(lines(capfd.readouterr().err)) == 1


# What listens to the trainer


class Line(torch.nn.Module):
    """y = weight · x, with dropout so that the weights depend on the random state."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.dropout = torch.nn.Dropout(0.5)

    def forward(self, x: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
        predicted = self.dropout(x) * self.weight
        return {"loss": ((predicted - labels) ** 2).mean(), "logits": predicted}


def train(folder: Path, callbacks: list[TrainerCallback]) -> tuple[float, tuple[Any, ...]]:
    """Train for six steps; the weight, and the state of the three global generators."""
    arguments = TrainingArguments(
        str(folder),
        max_steps=6,
        per_device_train_batch_size=2,
        logging_steps=2,
        eval_strategy="steps",
        eval_steps=3,
        report_to="none",
        save_strategy="no",
        disable_tqdm=True,
        seed=3,
        learning_rate=0.1,
        use_cpu=True,
    )
    rows = [{"x": torch.tensor([float(n)]), "labels": torch.tensor([2.0 * n])} for n in range(12)]
    trainer = Trainer(Line(), arguments, train_dataset=rows, eval_dataset=rows, callbacks=callbacks)
    trainer.train()
    weight = trainer.model.weight.item()
    return weight, generators()


def scalars(folder: Path) -> dict[str, list[int]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder)).Reload()
    return {tag: [event.step for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def test_a_trainers_log_reaches_both_stores_and_changes_no_number(store: Path, tmp_path: Path) -> None:
    plain = train(tmp_path / "plain", [])
    with tracker(store, "k1") as mlflow, Tracker(f"tensorboard:{tmp_path}/board") as tensorboard:
        watched = train(tmp_path / "watched", [mlflow, tensorboard])
    assert watched == plain
    uri = store_uri(store)
    assert [step for step, _ in curve(uri, "k1", "loss")] == [2, 4, 6]
    assert [step for step, _ in curve(uri, "k1", "eval_loss")] == [3, 6]
    assert {"learning_rate", "grad_norm", "train_loss"} <= set(only_run(uri, "k1").data.metrics)
    written = scalars(tmp_path / "board")
    assert written["loss"] == [2, 4, 6] and written["eval_loss"] == [3, 6] and "learning_rate" in written


def test_tensorboard_that_cannot_write_is_reported_once(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "board").write_text("a file where the folder should be")
    with Tracker(f"tensorboard:{tmp_path}/board") as tensorboard:
        weight, _ = train(tmp_path / "run", [tensorboard])
    assert weight != 0
    [line] = [line for line in lines(capfd.readouterr().err) if "tracking" in line]
    assert f"{tmp_path}/board: FileExistsError" in line and "the run continues" in line


# Names, commits


def test_names_are_those_that_mlflow_accepts() -> None:
    from mlflow.utils.validation import _validate_metric_name

    for name in ("ndcg@10", "bm25_ndcg@10", "a//b", "æøå", "NanoBEIR_mean_dot_ndcg@10", "x" * 300, "eval/loss"):
        _validate_metric_name(*flatten({name: 1}))
    assert flatten({"bm25_ndcg@10": 1}) == {"bm25_ndcg_at_10": 1}


@pytest.fixture
def git(tmp_path: Path) -> Callable[..., str]:
    def run(*arguments: str) -> str:
        command = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org", *arguments]
        return subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True).stdout.strip()

    return run


def test_git_state_has_the_commit_and_changes_except_to_generated_files(tmp_path: Path, git: Callable[..., str]) -> None:
    assert git_state(tmp_path) == {}
    git("init", "-q")
    assert git_state(tmp_path) == {}
    (tmp_path / "metrics").mkdir()
    for name in ("code.py", "metrics/mix.json"):
        (tmp_path / name).write_text("1")
    git("add", ".")
    git("commit", "-q", "-m", "first")
    commit = git("rev-parse", "HEAD")
    (tmp_path / "untracked").write_text("1")
    assert git_state(tmp_path) == {"git_commit": commit, "git_dirty": "false"}
    (tmp_path / "metrics/mix.json").write_text("2")
    assert git_state(tmp_path) == {"git_commit": commit, "git_dirty": "false"}
    (tmp_path / "code.py").write_text("2")
    assert git_state(tmp_path) == {"git_commit": commit, "git_dirty": "true"}
    assert git_state(tmp_path / "nowhere") == {}


def test_git_state_compares_contents_whatever_times_the_index_has(tmp_path: Path, git: Callable[..., str]) -> None:
    """As in dvc's temporary workspaces."""
    git("init", "-q")
    git("config", "core.trustctime", "false")
    params = tmp_path / "params.yaml"
    params.write_text("a: 1")
    os.utime(params, (1e9, 1e9))
    git("add", ".")
    git("commit", "-q", "-m", "first")
    params.write_text("a: 2")
    os.utime(params, (1e9, 1e9))
    assert git_state(tmp_path)["git_dirty"] == "true"
