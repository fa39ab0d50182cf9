"""A setting in the section training reaches the trainer by its name: it is in the schema and params.yaml, and nowhere else."""

from pathlib import Path
from typing import Any

import pytest
from sentence_transformers import SparseEncoderTrainingArguments

from stages.config.params import PARAMS, load_resolved, read_yaml, validated
from stages.config.schema import Training
from stages.config.settings import TrainSettings
from stages.encoders.building import ENCODERS
from stages.resolve.__main__ import resolve, write
from stages.train.arguments import training_arguments
from stages.train.device import choose_engine
from tests import ROOT
from tests.sections import training_section

KNOBS: dict[str, Any] = {
    "num_train_epochs": 3.0, "max_steps": 77, "per_device_train_batch_size": 9, "gradient_accumulation_steps": 2, "learning_rate": 3e-4,
    "warmup_ratio": 0.25, "weight_decay": 0.03, "max_grad_norm": 0.7, "bf16": False, "fp16": False, "gradient_checkpointing": True,
    "logging_steps": 4, "save_steps": 8, "save_total_limit": 5, "tf32": None, "optim": "adafactor", "dataloader_num_workers": 2,
    "dataloader_pin_memory": False, "torch_compile": False,
}  # fmt: skip
SHARED = SparseEncoderTrainingArguments.__dataclass_fields__.keys() & Training.model_fields.keys()


def told(training: Training, architecture: str = "splade") -> SparseEncoderTrainingArguments:
    encoder = ENCODERS[architecture]
    return training_arguments(encoder, training, 7, Path("checkpoints"), 10, ["anchor", "positive"], None, mini_batches=False)


def test_every_setting_that_transformers_knows_reaches_it(tmp_path: Path) -> None:
    values = read_yaml(ROOT / PARAMS)
    values["training"] |= KNOBS
    write(resolve(validated(values)), tmp_path)
    training, _ = choose_engine(load_resolved("train", TrainSettings, tmp_path).training, "cpu", 1)
    arguments = told(training)
    assert SHARED - {"eval_steps", "metric_for_best_model"} == KNOBS.keys(), "a new knob belongs in KNOBS, with a value of its own"
    for name in KNOBS.keys() - {"warmup_ratio"}:  # deprecated
        assert getattr(arguments, name) == KNOBS[name], name
    assert arguments.warmup_steps == round(77 * 0.25)
    assert (arguments.seed, arguments.data_seed, arguments.use_cpu) == (7, 7, True)


def test_a_setting_that_is_only_in_the_schema_reaches_transformers() -> None:
    class More(Training):
        lr_scheduler_type: str = "linear"
        adam_beta2: float | None = None

    given = training_section().model_dump()
    changed, left = told(More(**given, lr_scheduler_type="cosine", adam_beta2=0.5)), told(More(**given))
    assert (changed.lr_scheduler_type, changed.adam_beta2) == ("cosine", 0.5)
    assert (left.lr_scheduler_type, left.adam_beta2) == ("linear", told(training_section()).adam_beta2), "a null is transformers' default"


@pytest.mark.parametrize(("architecture", "rates"), [("splade", {}), ("inference-free-splade", {r"sub_modules\.query\.": 1e-2})])
def test_only_query_weights_have_their_own_learning_rate(architecture: str, rates: dict[str, float]) -> None:
    assert told(training_section(), architecture).learning_rate_mapping == rates
