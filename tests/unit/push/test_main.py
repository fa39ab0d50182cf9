"""The card of a run: its settings as resolved/train.yaml has them, but for how it was launched."""

import json
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from stages.config.params import PARAMS, validated
from stages.config.schema import Training
from stages.config.settings import PushSettings
from stages.push.__main__ import card
from stages.resolve.__main__ import resolve
from tests import ROOT


def test_a_card_tells_what_decides_the_model_and_not_how_the_run_was_launched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = YAML(typ="safe", pure=True).load((ROOT / PARAMS).read_text(encoding="utf-8"))
    values["training"] |= {"launcher": "torchrun", "num_processes": 3, "num_threads": 5, "device": "cpu", "dataloader_num_workers": 7}
    values["training"] |= {"resume": "checkpoints/mine/checkpoint-10", "learning_rate": 3e-4}
    resolved = resolve(validated(values))
    monkeypatch.chdir(tmp_path)
    Path("resolved").mkdir()
    YAML().dump(resolved["train"], Path("resolved/train.yaml"))
    Path("metrics").mkdir()
    Path("metrics/mix.json").write_text(json.dumps({"sources": {}}))
    Path("metrics/evaluation.json").write_text("{}")
    text = card(PushSettings.model_validate(resolved["push"]), "me/model")
    settings = YAML(typ="safe").load(text.partition("```yaml\n")[2].partition("```")[0])
    assert settings["training"]["learning_rate"] == 3e-4 and settings["loss"]["regularizer"] == "flops"
    assert settings.keys() == {"architecture", "profile", "seed", "model", "loss", "training"}
    assert not settings["training"].keys() & {*Training.RUNNING, "device", "num_processes", "num_threads"}
    assert not [name for name in ("running", "torchrun", "checkpoint-10", "mlflow") if name in text]
