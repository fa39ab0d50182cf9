"""The stage validation, by its settings alone."""

from pathlib import Path

import pytest

from stages.validation import __main__ as stage
from tests.refused import refused
from tests.unit.validation.test_dev import write


def test_dev_without_dev_rows_is_refused_with_how_to_get_some(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "read_resolved", lambda _: {"dev": ["mine"], "sets": {}})
    monkeypatch.setattr(stage, "FORMATTED", tmp_path)
    (tmp_path / "mine").mkdir()
    write(tmp_path / "mine" / "dev.parquet", [])
    with refused("training.eval_sets", "qrels/dev.tsv", "evaluation.sets"):
        stage.main()
