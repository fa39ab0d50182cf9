"""The evaluate stage on a tiny model and a set of one query."""

import json
from pathlib import Path
from typing import NoReturn

import pytest
import torch

from stages import evaluate
from stages.errors import UserError
from tests import tiny_models


def test_out_of_memory_names_the_set_and_what_to_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny_models.save(tmp_path / "models" / "final", "splade")
    (tmp_path / "models" / "scores.json").write_text("{}")
    folder = tmp_path / "data" / "eval" / "mine"
    (folder / "qrels").mkdir(parents=True)
    (folder / "corpus.jsonl").write_text(json.dumps({"_id": "d", "title": "", "text": "en bok"}) + "\n")
    (folder / "queries.jsonl").write_text(json.dumps({"_id": "q", "text": "bok"}) + "\n")
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq\td\t1\n")
    monkeypatch.chdir(tmp_path)

    def run_out(*_: object, **__: object) -> NoReturn:
        torch.empty(2**60)
        raise AssertionError("no memory holds that")

    settings = evaluate.EvaluateSettings(
        batch_size=2,
        trust_remote_code=False,
        device="cpu",
        mteb=[],
        active_dims=[],
        sets={"mine": evaluate.ScoredSet(kind="beir", split=None, language=None)},
    )
    metrics, _ = evaluate.evaluate(settings)
    assert metrics["mine"]["ndcg@10"] == 1.0
    monkeypatch.setattr("sentence_transformers.SparseEncoder.encode_query", run_out)
    with pytest.raises(
        UserError, match=r"^evaluation: out of memory while scoring mine; halve evaluation\.per_device_eval_batch_size, then"
    ):
        evaluate.evaluate(settings)
