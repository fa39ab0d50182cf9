"""The defaults of a device, how settings override them, and the line that describes the result."""

from pathlib import Path
from typing import Any

import pytest
import torch
from sentence_transformers import SparseEncoder

from stages.config.schema import Training
from stages.encoders.fast.max_pooled_linear import in_blocks
from stages.encoders.fast.model import make_fast
from stages.runtime.device import cores
from stages.train import device as device_module
from stages.train.device import choose_engine
from tests.sections import training_section
from tests.tiny_models import save

WANTED = training_section(dataloader_pin_memory=None)


def choose(device: str, processes: int = 1, **knobs: Any) -> tuple[Training, str]:
    return choose_engine(WANTED.model_copy(update=knobs), device, processes)


@pytest.fixture(autouse=True)
def same_threads_afterwards():
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def test_the_defaults_on_cpu() -> None:
    threads = torch.get_num_threads()
    training, line = choose("cpu")
    changed = {"optim": "adamw_torch_fused", "dataloader_num_workers": 0, "dataloader_pin_memory": False}
    assert training == WANTED.model_copy(update=changed | {"triton": False, "split_padding": 64})
    assert torch.get_num_threads() == threads
    assert line == f"training on cpu ({threads} thread{'s' * (threads > 1)}): float32, adamw_torch_fused, length buckets (split_padding 64)"


def test_what_a_device_lacks_is_switched_off_and_named() -> None:
    training, line = choose("cpu", 2, bf16=True, tf32=True, triton=True, dataloader_pin_memory=True, split_padding=0)
    assert not (training.bf16 or training.tf32 or training.triton or training.dataloader_pin_memory)
    assert "2 processes" in line
    assert line.endswith(
        "float32, adamw_torch_fused; no bf16, which needs a GPU; no TF32, which needs an Ampere GPU or later; "
        "no Triton head, which needs a CUDA GPU and the package triton; no pinned memory, which needs a CUDA GPU"
    )


def test_every_default_can_be_overridden() -> None:
    _, line = choose("cpu", optim="adamw_torch", dataloader_num_workers=2, torch_compile=True, num_threads=1)
    assert line == "training on cpu (1 thread): float32, adamw_torch, 2 workers, torch.compile"


@pytest.fixture
def ampere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make torch report an Ampere GPU; nothing is trained on it."""
    monkeypatch.setattr("torch.cuda.get_device_name", lambda: "NVIDIA A100")
    monkeypatch.setattr("torch.cuda.get_device_capability", lambda: (8, 0))
    monkeypatch.setattr("torch.cuda.is_bf16_supported", lambda including_emulation: True)
    monkeypatch.setattr("stages.train.device.cores", lambda: 16)
    monkeypatch.setattr("stages.train.device._triton_obstacle", lambda device, dtype: "")


def test_cuda_gets_bf16_tf32_workers_pinned_memory_and_the_triton_head(ampere: None) -> None:
    line = "training on cuda (NVIDIA A100): bf16, TF32, adamw_torch_fused, 4 workers, pinned memory, Triton head"
    assert choose("cuda", bf16=True, split_padding=0)[1] == line


@pytest.mark.parametrize("triton, line", [(None, "no Triton head, it broke"), (True, "no Triton head, it broke"), (False, "")])
def test_cuda_without_the_triton_head_says_why(ampere: None, monkeypatch: pytest.MonkeyPatch, triton: bool | None, line: str) -> None:
    monkeypatch.setattr("stages.train.device._triton_obstacle", lambda device, dtype: f"it broke with {dtype}")
    training, found = choose("cuda", bf16=True, triton=triton)
    assert not training.triton
    assert found.partition("; ")[2] == (f"{line} with torch.bfloat16" if line else "")


def test_csr_has_no_head_for_triton_and_flash_attention_leaves_no_padding_to_split(ampere: None) -> None:
    training, line = choose_engine(WANTED, "cuda", 1, splade_head=False, flash_attention=True)
    assert not training.triton and training.split_padding == 0 and "; " not in line


@pytest.mark.parametrize("capability, package, reason", [((7, 5), True, "an Ampere GPU"), ((8, 0), False, "the package triton")])
def test_the_triton_head_needs_its_package_and_an_ampere_gpu(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], package: bool, reason: str
) -> None:
    monkeypatch.setattr("torch.cuda.get_device_capability", lambda: capability)
    monkeypatch.setattr("stages.train.device.find_spec", lambda name: object() if package else None)
    assert reason in device_module._triton_obstacle.__wrapped__("cuda", torch.bfloat16)


def test_the_processes_of_a_machine_share_its_cores(ampere: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "8")
    assert choose("cuda", 8, bf16=True)[0].dataloader_num_workers == 2


@pytest.mark.parametrize("error, kept", [(0.0, True), (1.0, False)])
def test_a_model_whose_values_the_kernel_changes_gets_torchs_operations(error: float, kept: bool, tmp_path: Path) -> None:
    def kernel(*arguments: Any) -> torch.Tensor:
        return in_blocks(*arguments) + error

    model = SparseEncoder(str(save(tmp_path / "splade", "splade")), device="cpu")
    notes = make_fast(model, kernel)
    assert model[0].head and model[1].maxima is (kernel if kept else None)
    assert [note.startswith("1: no Triton head (the probe failed") for note in notes] == ([] if kept else [True])


def test_cuda_with_everything_switched_off(ampere: None) -> None:
    off: dict[str, Any] = {"tf32": False, "dataloader_num_workers": 0, "dataloader_pin_memory": False, "split_padding": 0, "triton": False}
    training, line = choose("cuda", fp16=True, **off)
    assert line == "training on cuda (NVIDIA A100): fp16, adamw_torch_fused"
    assert training.tf32 is False


@pytest.mark.parametrize("there", [True, False])
def test_mps_has_bf16_from_macos_14_on(monkeypatch: pytest.MonkeyPatch, there: bool) -> None:
    monkeypatch.setattr("torch.backends.mps.is_macos_or_newer", lambda major, minor: there)
    training, line = choose("mps", bf16=True)
    assert (training.bf16, training.dataloader_num_workers, training.dataloader_pin_memory) == (there, 0, False)
    assert ("no bf16, which needs macOS 14" in line) is not there


def test_a_containers_quota_limits_the_cores(tmp_path: Path) -> None:
    free = cores(tmp_path)
    (tmp_path / "cpu.max").write_text("max 100000\n")
    assert cores(tmp_path) == free
    (tmp_path / "cpu.max").write_text("100000 100000\n")
    assert cores(tmp_path) == 1
    (tmp_path / "cpu.max").write_text("50000 100000\n")
    assert cores(tmp_path) == 1


def test_cgroup_v1_quotas_count_too(tmp_path: Path) -> None:
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text("-1\n")
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
    assert cores(tmp_path) == cores(tmp_path / "none")
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text("100000\n")
    assert cores(tmp_path) == 1


def test_threads_follow_the_quota_unless_the_user_set_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stages.train.device.cores", lambda: 1)
    torch.set_num_threads(2)
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    choose("cpu")
    assert torch.get_num_threads() == 2
    monkeypatch.delenv("OMP_NUM_THREADS")
    choose("cpu")
    assert torch.get_num_threads() == 1
