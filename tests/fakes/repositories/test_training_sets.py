"""Each training set is downloaded from the Hub and formats to exactly the rows that it should."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from stages.config.params import read_resolved
from stages.download import __main__ as download
from stages.format import __main__ as formatting
from tests.fakes.hub_server import LoopbackHub
from tests.fakes.repositories.conftest import Prepare
from tests.fakes.repositories.training_sets import SUPERVISED_DA, TRAINING_SETS


def fetch(name: str) -> None:
    download.fetch(read_resolved("download")[name], Path("data/raw") / name, f"datasets.{name}")


@pytest.mark.parametrize("name", TRAINING_SETS)
def test_the_rows_that_are_kept_are_those_that_teach_something(name: str, prepare: Prepare) -> None:
    expected = TRAINING_SETS[name]()
    prepare("ecommerce" if name == "esci" else "nordic")
    fetch(name)
    folder = Path("data/formatted") / name
    formatting.format_one(name, read_resolved("format")[name], folder)
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    by_split = {split: {language: counts["kept"] for language, counts in report[split]["languages"].items()} for split in ("train", "dev")}
    kept = {split: {language: rows for language, rows in counts.items() if rows} for split, counts in by_split.items()}
    if "both" in expected.kept:  # dev is drawn from train by the source
        kept = {"both": {language: sum(counts.get(language, 0) for counts in kept.values()) for language in expected.kept["both"]}}
    assert kept == expected.kept
    assert {split: report[split]["read"] for split in expected.read} == expected.read
    languages = pq.read_table(folder / "train.parquet", columns=["language"])["language"]
    written = {each["values"]: each["counts"] for each in languages.value_counts().to_pylist()}
    assert written == {language: rows for language, rows in by_split["train"].items() if rows}


def test_older_commits_test_splits_and_loading_scripts_are_left_on_the_hub(prepare: Prepare, hub: LoopbackHub) -> None:
    prepare("nordic")
    for name in ("supervised-da", "scandiqa"):
        fetch(name)
    downloads = [path for _, path in hub.requests if "/resolve/" in path]
    assert downloads and not [path for path in downloads if path.endswith((".py", ".jsonl")) or "/test" in path]
    assert {path.split("/resolve/")[1].split("/")[0] for path in downloads if "supervised-da" in path} == {SUPERVISED_DA}
