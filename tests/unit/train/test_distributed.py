"""Several processes train like one process with all their batches."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests import tiny_models

ARCHITECTURES = ["splade", "inference-free-splade", "csr"]
ROWS, BATCHES = 8, 12
WORDS = ["oslo", "ferje", "brygge", "bibliotek", "svømme", "museum", "kommune", "barn", "rødgrøt", "ö", "kaffe", "å"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tiny models, twelve batches of eight rows from two sources, one with negatives, and the results of `team`."""
    folder = tmp_path_factory.mktemp("data")
    for architecture in ARCHITECTURES:
        tiny_models.save(folder / architecture, architecture)
    generator = np.random.default_rng(1)
    text = lambda: " ".join(generator.choice(WORDS, generator.integers(1, 6)))  # noqa: E731
    rows = [
        {"anchor": text(), "positive": text(), "negative": text() if batch % 2 else None, "source": "ab"[batch % 2], "batch": batch}
        for batch in range(BATCHES)
        for _ in range(ROWS)
    ]
    table = pa.Table.from_pylist(rows).cast(
        pa.schema([(name, pa.string()) for name in ("anchor", "positive", "negative", "source")] + [("batch", pa.int32())])
    )
    scores = pa.array([[2.0, row / 10] if negative else None for row, negative in enumerate(table["negative"].to_pylist())])
    pq.write_table(table.append_column("scores", scores), folder / "train.parquet")
    done = subprocess.run(
        [sys.executable, "-m", "tests.unit.train.team", str(folder)],
        cwd=Path(__file__).parents[3], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    return folder


def result(data: Path, run: str, kind: str) -> tuple[list[float], dict[str, np.ndarray]]:
    """Losses per step and final weights of one run of `team`."""
    content = json.loads((data / f"{run}-{kind}.json").read_text())
    return [entry["loss"] for entry in content["log"]], {name: np.array(values) for name, values in content["weights"].items()}


@pytest.mark.parametrize("kind", [*ARCHITECTURES, "steered", "distilled", "cached-splade", "cached-inference-free-splade"])
def test_two_processes_that_gather_equal_one_with_twice_the_batch(data: Path, kind: str) -> None:
    assert_same_training(data, "gathered", "alone", kind, BATCHES)


@pytest.mark.parametrize("run", ["gathered", "apart"])
def test_processes_agree_on_the_regularisers_measurements(data: Path, run: str) -> None:
    first, second = measured(data, run, "steered")
    assert first["document.factor"] != 1 and any(first["document.regularizer.frequency"])
    assert first == second


@pytest.mark.parametrize("run", ["gathered", "apart"])
def test_processes_resume_with_the_checkpoints_counts_of_dead_latents(data: Path, run: str) -> None:
    first, second = measured(data, run, "csr")
    [counts] = first.values()
    assert len(set(counts)) > 1
    assert first == second


def measured(data: Path, run: str, kind: str) -> list[dict[str, Any]]:
    """The measurements of both processes at the last checkpoint."""
    return [json.loads((data / f"{run}-{kind}-{index}.json").read_text()) for index in range(2)]


@pytest.mark.parametrize("architecture", ARCHITECTURES[:2])  # CSR counts dead latents per forward pass, and the passes differ
def test_two_processes_that_do_not_gather_equal_one_that_accumulates_two_batches(data: Path, architecture: str) -> None:
    assert_same_training(data, "apart", "accumulated", architecture, BATCHES // 2)


def assert_same_training(data: Path, run: str, reference: str, kind: str, steps: int) -> None:
    (losses, weights), (expected, expected_weights) = result(data, run, kind), result(data, reference, kind)
    assert len(expected) == steps
    assert max(expected) - min(expected) > 0.02
    assert losses == pytest.approx(expected, abs=1e-4, rel=0)
    for name, values in expected_weights.items():
        assert np.abs(weights[name] - values).max() < 1e-4, name
