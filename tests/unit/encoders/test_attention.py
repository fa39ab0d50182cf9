"""The attention implementation is switched for training steps only, and switched back."""

from pathlib import Path

import pytest
from sentence_transformers import SparseEncoder

from stages.encoders.attention import FLASH, attention_errors, attention_of, model_attention
from tests.refused import refused
from tests.tiny_models import save


@pytest.fixture
def model(tmp_path: Path) -> SparseEncoder:
    return SparseEncoder(str(save(tmp_path / "model", "splade")), device="cpu")


def test_it_is_switched_back_even_after_an_error(model: SparseEncoder) -> None:
    with pytest.raises(KeyError), attention_of(model, "eager"):
        assert model_attention(model) == "eager"
        with attention_of(model, "sdpa"):
            assert model_attention(model) == "sdpa"
        assert model_attention(model) == "eager"
        raise KeyError
    assert model_attention(model) == "sdpa"


def test_a_missing_package_is_named_and_the_model_is_not_changed(model: SparseEncoder) -> None:
    with (
        refused("model.attn_implementation … flash_attention_2 … FlashAttention2 … null"),
        attention_errors(FLASH),
        attention_of(model, FLASH),
    ):
        pass
    assert model_attention(model) == "sdpa"
