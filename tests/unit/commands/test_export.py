"""`nordic-sparse export`: the folder appears whole or not at all, and nothing but an earlier export is replaced."""

import resource
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from stages.commands.__main__ import run
from stages.retrieval.treatment import Treatment
from tests import tiny_models
from tests.refused import refused
from tests.unit.export.test_query_encoder import encoder_of


@pytest.fixture(scope="module")
def free(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tiny_models.save(tmp_path_factory.mktemp("export") / "free", "inference-free-splade")
    Treatment(max_query_dims=2).write(folder)
    return folder


@pytest.fixture
def full_disk() -> Iterator[None]:
    """Files of at most 1 kB; the error has another number than a full disk's, and the same message."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    signal.signal(signal.SIGXFSZ, before)


def export(*arguments: object) -> None:
    with pytest.raises(SystemExit) as exited:
        run(["export", *map(str, arguments)])
    assert not exited.value.code


def test_the_models_pruning_is_applied_and_an_earlier_export_replaced(
    free: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "some" / "folder"
    export("--query-encoder", "--model", free, "--output", output)
    said = capsys.readouterr().out
    assert str(output) in said and "needs Python and numpy" in said and said.count("\n") == 1
    assert len(encoder_of(output)("abcdef")[0]) == 2
    (output / "left.txt").write_text("of the earlier export")
    export("--query-encoder", "--model", free, "--output", output)
    assert not (output / "left.txt").exists() and [each.name for each in output.parent.iterdir()] == ["folder"]


@pytest.mark.slow
def test_a_network_is_exported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, output = tiny_models.save(tmp_path / "model", "splade"), tmp_path / "out"
    export("--onnx", "--int8", "--model", model, "--output", output)
    assert "needs onnxruntime" in capsys.readouterr().out
    assert sorted(each.name for each in output.iterdir()) == ["encode.py", "model.onnx", "query.json", "tokenizer.json"]
    assert len(encoder_of(output)("øl")[0])


@pytest.mark.parametrize("taken", ["folder", "file"])
def test_what_is_no_export_is_not_replaced(taken: str, free: Path, tmp_path: Path) -> None:
    output = tmp_path / "taken"
    precious = output / "thesis.txt" if taken == "folder" else output
    precious.parent.mkdir(exist_ok=True)
    precious.write_text("years")
    with refused("--output … taken … something else"):
        run(["export", "--query-encoder", "--model", str(free), "--output", str(output)])
    assert precious.read_text() == "years"


def test_a_full_disk_leaves_the_earlier_export(free: Path, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    output = tmp_path / "out"
    export("--query-encoder", "--model", free, "--output", output)
    before = {each.name: each.read_bytes() for each in output.iterdir()}
    request.getfixturevalue("full_disk")
    with pytest.raises(OSError, match="File too large"):
        run(["export", "--query-encoder", "--model", str(free), "--output", str(output)])
    assert {each.name: each.read_bytes() for each in output.iterdir()} == before and [*tmp_path.iterdir()] == [output]


@pytest.mark.parametrize(
    ("arguments", "pins"),
    [
        ([], "export … --query-encoder … --onnx"),
        (["--query-encoder", "--onnx"], "export … one form"),
        (["--query-encoder", "--int8"], "--int8 … --onnx"),
        (["--query-encoder"], "has no model … --model"),
    ],
)
def test_mistakes_are_named(arguments: list[str], pins: str, tmp_path: Path) -> None:
    with refused(pins):
        run(["export", *arguments, "--model", str(tmp_path / "none"), "--output", str(tmp_path / "out")])
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("architecture", ["splade", "csr"])
def test_a_model_whose_queries_need_a_network_is_refused(architecture: str, tmp_path: Path) -> None:
    model = tiny_models.save(tmp_path / "model", architecture)
    with refused("--query-encoder … inference-free … --onnx"):
        run(["export", "--query-encoder", "--model", str(model), "--output", str(tmp_path / "out")])
    assert not (tmp_path / "out").exists()
