"""Mining in the pipeline: it runs for the chosen sets, mix uses its results, and without it nothing re-runs."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest
from ruamel.yaml import YAML

from tests.pipeline.conftest import Workspace, make_workspace


@pytest.fixture
def two_sets(tmp_path: Path) -> Workspace:
    """A workspace with two data sets and nothing done yet."""
    workspace = make_workspace(tmp_path)
    path = workspace.folder / "params.yaml"
    values = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    values["datasets"] = {name: values["datasets"][name] for name in ("sample-nli", "sample-qa")}
    values["evaluation"]["sets"] = {"sample": values["evaluation"]["sets"]["sample"]}
    with path.open("w", encoding="utf-8") as file:
        YAML().dump(values, file)
    workspace.commit("two sets")
    return workspace


@pytest.mark.slow
def test_mining_one_set_reruns_that_set_and_the_mix_and_turning_it_off_takes_it_all_back(two_sets: Workspace) -> None:
    mixed = two_sets.folder / "data" / "mixed" / "train.parquet"
    two_sets.run("dvc", "repro", "mix")
    before = mixed.read_bytes()
    assert (two_sets.folder / "data" / "mined" / "unused.txt").exists()
    output = two_sets.run("dvc", "exp", "run", "-S", "mining.method=bm25", "-S", "mining.datasets=[sample-qa]", "mix")
    assert two_sets.stages_run(output) == {"resolve", "mine", "mix"}
    rows = pq.read_table(mixed, columns=["source", "negative"]).to_pylist()
    with_negative = [row["negative"] is not None for row in rows if row["source"] == "sample-qa"]
    assert sum(with_negative) > 0.5 * len(with_negative)
    back = two_sets.run("dvc", "exp", "run", "-S", "mining.method=none", "mix")
    assert two_sets.stages_run(back) == {"resolve"}
    assert mixed.read_bytes() == before
