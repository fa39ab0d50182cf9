"""Library methods that ours override, extend or rely on are pinned by a digest of their source: a new release that changes one fails here.

Read what changed, adapt our module (second column), then update the digest.
"""

import inspect
from collections.abc import Callable
from hashlib import sha256
from typing import Any

import pytest
from sentence_transformers.base.losses.merged_forward import embed_columns
from sentence_transformers.base.model import BaseModel
from sentence_transformers.base.modules import Router, Transformer
from sentence_transformers.base.trainer import BaseTrainer
from sentence_transformers.sparse_encoder.losses import SpladeLoss
from sentence_transformers.sparse_encoder.modules import SpladePooling
from transformers import Trainer
from transformers.models.deberta_v2.modeling_deberta_v2 import DebertaV2LMPredictionHead


@pytest.mark.parametrize(("method", "ours", "digest"), [
    (Transformer.forward, "encoders.fast.transformer", "f408f7753d30"),
    (SpladePooling.forward, "encoders.fast.pooling", "5c83a0ee3324"),
    (SpladeLoss.forward, "encoders.fast.loss", "528cace1cc22"),
    (embed_columns, "encoders.fast.loss", "85e4ba4c76e9"),
    (DebertaV2LMPredictionHead.forward, "encoders.fast.head", "63575e80d055"),
    (BaseModel.save, "encoders.fast.model", "b97c701a1cd0"),
    (Router.save, "encoders.fast.model", "68ab64f132b6"),
    (BaseTrainer._save, "train.trainer", "909f4913c279"),
    (BaseTrainer._load_from_checkpoint, "train.trainer", "495a18303da0"),
    (Trainer._save_checkpoint, "train.trainer", "a9111e30faa9"),
    (Trainer._save_rng_state, "train.trainer", "27a97d106124"),
])  # fmt: skip
def test_the_librarys_code_has_not_changed(method: Callable[..., Any], ours: str, digest: str) -> None:
    assert sha256(inspect.getsource(method).encode()).hexdigest()[:12] == digest, f"{method.__qualname__} has changed; see stages.{ours}"
