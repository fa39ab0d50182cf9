"""The attention of a training's steps is another than that of all else: switched on for them, and off again."""

from pathlib import Path
from typing import Any

import pytest
from sentence_transformers import SparseEncoder
from transformers import TrainerCallback

from stages.runtime.errors import UserError
from stages.train import trainer
from stages.train.attention import FLASH, attention_in_one_line, attention_of, model_attention
from tests.tiny_models import save
from tests.unit.train.conftest import Run
from tests.unit.train.test_selection import scripted


@pytest.fixture
def model(tmp_path: Path) -> SparseEncoder:
    return SparseEncoder(str(save(tmp_path / "model", "splade")), device="cpu")


def test_it_is_switched_and_switched_back_even_after_an_error(model: SparseEncoder) -> None:
    with pytest.raises(KeyError), attention_of(model, "eager"):
        assert model_attention(model) == "eager"
        with attention_of(model, "sdpa"):
            assert model_attention(model) == "sdpa"
        assert model_attention(model) == "eager"
        raise KeyError
    assert model_attention(model) == "sdpa"


def test_a_missing_package_is_one_line_and_leaves_the_model_as_it_was(model: SparseEncoder) -> None:
    line = r"model\.attn_implementation: flash_attention_2 is not possible here \(FlashAttention2 .*; set it to null"
    with pytest.raises(UserError, match=line), attention_in_one_line(FLASH), attention_of(model, FLASH):
        pass
    assert model_attention(model) == "sdpa"


def test_steps_have_the_attention_asked_for_and_evaluation_the_models_own(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer, "FLASH", "eager")  # another one in its place: flash attention needs a GPU
    seen: dict[str, set[str | None]] = {"step": set(), "evaluation": set()}

    class See(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            seen["step"].add(model_attention(kwargs["model"]))

    validation = scripted(0.1, 0.9, 0.3, 0.4)
    score = validation.score
    monkeypatch.setattr(validation, "score", lambda model: seen["evaluation"].add(model_attention(model)) or score(model))
    model, _ = run(validation=validation, callbacks=[See()], flash_attention=True)
    assert seen == {"step": {"eager"}, "evaluation": {"sdpa"}}
    assert model_attention(model) == "sdpa"
