"""Trials on this machine: each on GPUs of its own."""

from pathlib import Path

import pytest

from stages.config.sweep import Local
from stages.launchers.local import LocalLauncher, gpus


@pytest.mark.parametrize(("visible", "names"), [("", []), ("-1", []), ("0", ["0"]), ("3,GPU-1f", ["3", "GPU-1f"])])
def test_the_gpus_are_those_that_the_user_leaves_visible(monkeypatch: pytest.MonkeyPatch, visible: str, names: list[str]) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert gpus() == names


@pytest.mark.parametrize(
    ("visible", "settings", "slots"),
    [
        ("", {}, 1),
        ("0,1,2", {}, 3),
        ("0,1,2", {"gpus": 2}, 1),
        ("0,1,2,3", {"gpus": 2}, 2),
        ("0", {"parallel": 2}, 2),
        ("", {"gpus": 2}, 1),
    ],
)
def test_there_is_a_slot_for_each_gpu(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, visible: str, settings: dict[str, int], slots: int
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert LocalLauncher(tmp_path, Local(**settings), tmp_path).slots == slots
