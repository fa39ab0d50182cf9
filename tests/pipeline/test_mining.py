"""Mining in the pipeline: it runs for the sets it is asked for, the mix takes what it found, and without it nothing has to run again."""

import re

import pyarrow.parquet as pq
import pytest

from tests.pipeline.conftest import Workspace


def mined_sets(output: str) -> set[str]:
    return set(re.findall(r"Running stage 'mine@([^']*)'", output))


@pytest.mark.slow
def test_mining_one_set_reruns_that_set_and_the_mix_and_turning_it_off_takes_it_all_back(workspace: Workspace) -> None:
    mixed = workspace.folder / "data" / "mixed" / "train.parquet"
    before = mixed.read_bytes()
    assert all((workspace.folder / "data" / "mined" / name / "unused.txt").exists() for name in ("sample-qa", "sample-nli", "nli"))
    output = workspace.run("dvc", "exp", "run", "-S", "mining.method=bm25", "-S", "mining.datasets=[sample-qa]", "mix")
    assert workspace.stages_run(output) == {"resolve", "mine", "mix"}
    assert mined_sets(output) == {"sample-qa"}
    rows = pq.read_table(mixed, columns=["source", "negative"]).to_pylist()
    assert sum(row["negative"] is not None for row in rows if row["source"] == "sample-qa") > 0.5 * sum(
        row["source"] == "sample-qa" for row in rows
    )
    back = workspace.run("dvc", "exp", "run", "-S", "mining.method=none", "mix")
    assert workspace.stages_run(back) == {"resolve"}
    assert mixed.read_bytes() == before
