"""torchrun starts the processes, reports an error once, and leaves no process behind."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from stages.runtime.errors import UserError
from stages.train.launch import launch
from tests import ROOT
from tests.refused import refused


@pytest.fixture
def launched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which each process writes a file."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("LAUNCHED_FOLDER", str(tmp_path))
    for name in ("OMP_NUM_THREADS", "RANK", "WORLD_SIZE", "NNODES", "PET_NNODES"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def test_every_process_has_its_rank_and_its_share_of_the_cores(launched: Path) -> None:
    launch("tests.unit.train.launched", 2, gpus=0, cores=6)
    assert sorted(file.read_text() for file in launched.iterdir()) == ["0 2 0 3", "1 2 1 3"]


@pytest.mark.slow
def test_machines_find_each_other_by_torchruns_variables(launched: Path) -> None:
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    meeting = {**os.environ, "NNODES": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": str(port)}
    command = [sys.executable, "-m", "tests.unit.train.launched"]
    machines = [subprocess.Popen(command, env={**meeting, "NODE_RANK": str(rank)}) for rank in range(2)]
    assert [machine.wait(240) for machine in machines] == [0, 0]
    assert sorted(file.read_text() for file in launched.iterdir()) == ["0 2 0 6", "1 2 0 6"]


def test_a_users_mistake_is_reported_once(launched: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("LAUNCHED", "mistake")
    with pytest.raises(UserError) as error:
        launch("tests.unit.train.launched", 2, gpus=0, cores=2)
    assert str(error.value) == "params.yaml: seed: is wrong; change it"
    assert capfd.readouterr().err == ""


def test_a_bug_in_one_process_ends_the_others_with_its_status(launched: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAUNCHED", "bug")
    started = time.monotonic()
    with pytest.raises(SystemExit) as ended:
        launch("tests.unit.train.launched", 2, gpus=0, cores=2)
    assert ended.value.code == 3
    assert time.monotonic() - started < 240


@pytest.mark.skipif(sys.platform != "linux", reason="Linux ends children with their parent on request")
def test_no_process_outlives_a_killed_launcher(launched: Path) -> None:
    environment = {**os.environ, "LAUNCHED": "wait"}
    launcher = subprocess.Popen([sys.executable, "-m", "tests.unit.train.launched"], env=environment)
    members = wait_for(lambda: list(launched.iterdir()), 2)
    launcher.send_signal(signal.SIGKILL)
    launcher.wait()
    wait_for(lambda: [file for file in members if not running(int(file.name))], 2)


def running(process: int) -> bool:
    status = Path(f"/proc/{process}/status")
    return status.exists() and "State:\tZ" not in status.read_text()


def wait_for(look: Callable[[], list[Path]], count: int) -> list[Path]:
    deadline = time.monotonic() + 240
    while len(found := look()) < count:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found


@pytest.mark.parametrize(
    ("processes", "gpus", "machines", "message"),
    [
        (8, 4, "1", "num_processes … 8 GPUs … has 4"),
        (8, 8, "3", "num_processes … multiple of 3 (NNODES) … got 8"),
        (1000, 0, "1", "num_processes … 1000 processes … 2 cores"),
        (8, 8, "two", "NNODES … 'two'"),
        (8, 8, "0", "NNODES … '0'"),
    ],
)
def test_more_processes_than_the_machine_has_room_for_are_refused(
    launched: Path, monkeypatch: pytest.MonkeyPatch, processes: int, gpus: int, machines: str, message: str
) -> None:
    monkeypatch.setenv("NNODES", machines)
    with refused(message):
        launch("tests.unit.train.launched", processes, gpus, cores=2)
