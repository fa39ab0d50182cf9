"""The card of a run: its settings in resolved/train.yaml, without how it was launched."""

import json
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from stages.config.params import PARAMS, RESOLVED, load_resolved, read_yaml, validated
from stages.config.schema import Training
from stages.config.settings import PushSettings
from stages.push.__main__ import card
from stages.resolve.__main__ import resolve, write
from stages.retrieval.treatment import UNTREATED
from tests import ROOT


def test_a_card_has_the_settings_that_decide_the_model_and_not_those_of_the_launch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = read_yaml(ROOT / PARAMS)
    values["training"] |= {"launcher": "torchrun", "num_processes": 3, "num_threads": 5, "device": "cpu", "dataloader_num_workers": 7}
    values["training"] |= {"resume": "checkpoints/mine/checkpoint-10", "learning_rate": 3e-4}
    monkeypatch.chdir(tmp_path)
    write(resolve(validated(values)), RESOLVED)
    Path("metrics").mkdir()
    Path("metrics/mix.json").write_text(json.dumps({"sources": {}}))
    Path("metrics/evaluation.json").write_text("{}")
    text = card(load_resolved("push", PushSettings), "me/model", UNTREATED)
    settings = YAML(typ="safe").load(text.partition("```yaml\n")[2].partition("```")[0])
    assert settings["training"]["learning_rate"] == 3e-4 and settings["loss"]["regularizer"] == "flops"
    assert settings.keys() == {"architecture", "profile", "seed", "model", "loss", "training"}
    assert not settings["training"].keys() & {*Training.RUNNING, "device", "num_processes", "num_threads"}
    assert not [name for name in ("running", "torchrun", "checkpoint-10", "mlflow") if name in text]
