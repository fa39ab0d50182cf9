"""Trials on Modal: its real client, on a server on loopback whose functions run in this process. `make test-slow` installs the client."""

import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from stages.sweeps.state import Sweep
from tests.pipeline.conftest import Workspace
from tests.toy import Toy

if TYPE_CHECKING:
    from tests.fakes.modal_server import LoopbackModal

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800), pytest.mark.filterwarnings("ignore:The train function is executing locally")]

SWEEP = """\
method: grid
parameters:
  training.learning_rate: {low: 0.01, high: 0.4, points: 12}
  training.weight_decay: [0.0, 0.1]
fixed: {training.max_steps: 4}
launcher: modal
modal: {gpu: H100, region: eu, timeout_hours: 1.5, huggingface_secret: hub, mlflow_secret: mlflow}
"""


class Cloud:
    """The server and what its containers run. ``before`` is called with each job; what it raises ends the try."""

    def __init__(self, server: "LoopbackModal") -> None:
        self.server = server
        self.before: Callable[[dict[str, Any]], None] = lambda job: None


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """One server for all tests: a process has one client."""
    from stages.launchers import container, modal_cloud
    from tests.fakes.modal_server import LoopbackModal

    folder = tmp_path_factory.mktemp("modal")

    def run(job: dict[str, Any]) -> Any:
        cloud.before(job)
        return modal_cloud.train.local(job)

    with LoopbackModal(folder, run) as server, pytest.MonkeyPatch.context() as patch:
        cloud = Cloud(server)
        for name, value in {**server.environment(), "HF_HUB_OFFLINE": "1"}.items():
            patch.setenv(name, value)
        patch.setattr(modal_cloud, "MOUNTS", server.mounts)
        patch.setattr(modal_cloud, "WORK", folder / "work")
        patch.setattr(container, "POLL", 0.1)
        yield cloud


@pytest.fixture
def cloud(session: Cloud) -> Cloud:
    session.before = lambda job: None
    session.server.log.clear()
    session.server.tries.clear()
    return session


@pytest.fixture
def toy(tmp_path: Path, cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> Toy:
    checkout = Toy(tmp_path)
    checkout.environment |= cloud.server.environment()
    monkeypatch.setenv("TOY_STEP", "0")
    return checkout


def test_24_trials_come_back_as_experiments_though_one_dies_and_the_sweep_is_killed(cloud: Cloud, toy: Toy) -> None:
    def container_of_5_dies(job: dict[str, Any]) -> None:
        if job["number"] == 5 and not any(args[0]["number"] == 5 for args, _ in cloud.server.tries):
            raise RuntimeError("the machine is gone")

    cloud.before = container_of_5_dies
    path = toy.write(SWEEP)
    first = toy.start("python", "stages.commands", "sweep", path)
    while len(cloud.server.tries) < 6:
        assert first.poll() is None, first.communicate()[0]
        time.sleep(0.1)
    first.kill()
    first.wait()

    again = toy.start("python", "stages.commands", "sweep", path)
    output, _ = again.communicate(timeout=1500)
    assert again.returncode == 0, output

    sweep = Sweep(toy.folder / "sweeps" / "s")
    results = {trial.number: sweep.result(trial.number) for trial in sweep.trials()}
    assert {number: result and result.state for number, result in results.items()} == dict.fromkeys(range(24), "done")
    assert [error is None for _, error in cloud.server.tries].count(False) == 1
    assert len(cloud.server.tries) == 1 + 24 + 1, "the stages before train once, and no trial twice but the one that died"
    assert len(toy.run("dvc", "exp", "list", "--name-only").split()) >= 24 and "s-005" in output
    toy.sweep(path, "--apply-best")
    assert "Running stage 'train'" not in toy.run("dvc", "repro")
    best = max(result.metrics["mean.ndcg@10"] for result in results.values() if result)
    assert (toy.folder / "models" / "score.txt").read_text(encoding="utf-8").split()[0] == str(best)
    containers_are_as_asked(cloud.server)


def containers_are_as_asked(server: "LoopbackModal") -> None:
    """What the server was told of a trial's container."""
    created = server.requests("FunctionCreate")[0]
    mounts = {mount.mount_path: mount.volume_id for mount in created.function.volume_mounts}
    assert mounts == {f"/store/{name}": f"vo-nordic-sparse-{name}" for name in ("cache", "data", "runs")}
    commands = [command for request in server.requests("ImageGetOrCreate") for command in request.image.dockerfile_commands]
    assert any("pip install -r /.requirements.txt" in command for command in commands)
    prepares, bound = (request.function_options for request in server.requests("FunctionBindParams")[:2])
    assert not prepares.resources.gpu_config.count
    assert bound.resources.gpu_config.gpu_type == "H100" and list(bound.scheduler_placement.regions) == ["eu"]
    assert bound.timeout_secs == 5400 and bound.retry_policy.retries == 3
    secrets = server.requests("SecretGetOrCreate")
    assert {secret.deployment_name for secret in secrets} == {"hub", "mlflow"} and not any(secret.env_dict for secret in secrets)


def test_modal_run_trains_one_model_and_a_new_container_resumes_it(cloud: Cloud, workspace: Workspace) -> None:
    cached = cloud.server.durable / "nordic-sparse-cache" / "dvc"  # what an earlier run has left
    shutil.copytree(workspace.folder / ".dvc" / "cache", cached, copy_function=os.link, dirs_exist_ok=True)
    killer = threading.Thread(target=kill_at_first_checkpoint, args=(cloud.server,), daemon=True)
    killer.start()
    settings = "training.max_steps=200 training.save_steps=10 loss.query_regularizer_weight=2e-4 modal.gpu=A10"
    command = ["modal", "run", "--detach", "stages/commands/modal_app.py", "--params", settings]
    told = workspace.run(*command, **cloud.server.environment())
    name = next(line.split()[0].rstrip(":") for line in told.splitlines() if "finished" in line)
    assert [error is None for _, error in cloud.server.tries] == [False, True]
    log = next((workspace.folder / "sweeps").glob("*/trials/000/log.txt")).read_text(encoding="utf-8")
    assert "resuming from checkpoints/" in log

    fetched = workspace.run("python", "-m", "stages.commands", "modal", "fetch", **cloud.server.environment())
    assert name in fetched
    assert f"{name}: 0 files fetched" in workspace.run(
        "python", "-m", "stages.commands", "modal", "fetch", name, **cloud.server.environment()
    )
    workspace.run("dvc", "exp", "apply", name)
    assert workspace.stages_run(workspace.run("dvc", "repro")) == {"resolve"}


def kill_at_first_checkpoint(server: "LoopbackModal") -> None:
    """SIGKILL the training process in the container once a checkpoint is in the volume."""
    volume, deadline = server.durable / "nordic-sparse-runs", time.monotonic() + 300
    while not list(volume.glob("*/trials/*/checkpoints/*/checkpoint-*/trainer_state.json")):
        if time.monotonic() > deadline:
            return
        time.sleep(0.02)
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            if process.cmdline()[-2:] == ["-m", "stages.train"]:
                process.kill()


def test_a_missing_experiment_or_server_is_one_line(toy: Toy) -> None:
    fetch = ["python", "stages.commands", "modal", "fetch", "none"]
    missing = toy.run(*fetch, status=2)
    assert missing.startswith("error: none: not finished") and len(missing.splitlines()) == 1
    unreachable = toy.run(*fetch, status=2, MODAL_SERVER_URL="http://127.0.0.1:9")
    assert unreachable.startswith("error: modal: cannot be reached") and len(unreachable.splitlines()) == 1
