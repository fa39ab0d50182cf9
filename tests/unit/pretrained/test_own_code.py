"""A model's own Python code runs only if params.yaml allows it, and never comes from another repository: one rule for every use."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoModel

from stages.pretrained.check import check_model
from stages.pretrained.files import Use
from stages.pretrained.own_code import require_allowed_code
from tests.refused import refused
from tests.tiny_models import write_base

USE = Use("models.x", "some/model", "fill-mask")
TASKS = {
    "fill-mask": "AutoModelForMaskedLM",
    "feature-extraction": "AutoModel",
    "sequence-classification": "AutoModelForSequenceClassification",
}


def add(folder: Path, file: str, **content: Any) -> None:
    path = folder / file
    path.write_text(json.dumps(json.loads(path.read_text()) | content), encoding="utf-8")


@pytest.mark.parametrize("task", TASKS)
def test_only_references_to_classes_that_are_loaded_count(task: str, tmp_path: Path) -> None:
    base, use = write_base(tmp_path, "bert"), replace(USE, task=task)
    elsewhere = {name: "other/code--modeling.Model" for name in (*TASKS.values(), "AutoModelForCausalLM") if name != TASKS[task]}
    (base / "own.py").touch()
    add(base, "config.json", model_type="own", auto_map=elsewhere | {"AutoConfig": "own.Config", TASKS[task]: "own.Model"})
    require_allowed_code(base, replace(use, trusted=True))
    with refused("models.x", "some/model", "Python code", "trust_remote_code", "`models`"):
        require_allowed_code(base, use)


@pytest.mark.parametrize("kind", ["AutoConfig", "AutoModelForMaskedLM", "AutoTokenizer", "modules.json"])
@pytest.mark.parametrize("trusted", [True, False])
def test_code_of_another_repository_is_refused_even_if_code_is_allowed(kind: str, trusted: bool, tmp_path: Path) -> None:
    base = write_base(tmp_path, "bert")
    if kind == "modules.json":
        modules = [{"idx": 0, "name": "0", "path": "", "type": "other/code--custom_st.Transformer"}]
        (base / "modules.json").write_text(json.dumps(modules), encoding="utf-8")
    elif kind == "AutoTokenizer":
        add(base, "config.json", model_type="own")
        add(base, "tokenizer_config.json", auto_map={kind: [None, "other/code--tokens.Tokenizer"]}, tokenizer_class="OwnTokenizer")
    else:
        add(base, "config.json", model_type="own", auto_map={kind: "other/code--modeling.Class"})
    with refused("models.x", "some/model", "another repository", "other/code"):
        require_allowed_code(base, replace(USE, trusted=trusted))


def test_a_model_that_loads_without_code_needs_no_permission(tmp_path: Path) -> None:
    base = write_base(tmp_path, "bert")
    add(base, "config.json", auto_map={"AutoModelForMaskedLM": "other/code--modeling.Model"})
    check_model(base, USE)
    with refused("models.x", "another repository", "other/code", "trust_remote_code to false"):
        check_model(base, replace(USE, trusted=True))


def test_own_code_in_a_dense_model_needs_permission_too(tmp_path: Path) -> None:
    base, use = write_base(tmp_path, "bert", AutoModel), replace(USE, task="feature-extraction")
    (base / "modules.json").write_text(json.dumps([{"idx": 0, "name": "0", "path": "", "type": "custom_st.Transformer"}]), encoding="utf-8")
    with refused("models.x", "some/model", "Python code"):
        require_allowed_code(base, use)
    with refused("models.x", "custom_st.Transformer", "custom_st.py", "lacks"):
        require_allowed_code(base, replace(use, trusted=True))
    (base / "custom_st.py").touch()
    require_allowed_code(base, replace(use, trusted=True))
