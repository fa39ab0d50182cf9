"""The model as it is before its first step, to be scored beside the trained one: training must not leave it worse than it found it."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from stages.config.params import load_resolved
from stages.config.settings import TrainSettings

if TYPE_CHECKING:
    from sentence_transformers import SparseEncoder


def untrained_model(device: str) -> "SparseEncoder":
    """Build the encoder of resolved/train.yaml once more, from the same base, training texts and seed as the train stage, on ``device``."""
    from transformers import set_seed

    from stages.pretrained.norbert import prepare_base
    from stages.train.__main__ import BASE, MADE
    from stages.train.run import build

    settings = load_resolved("train", TrainSettings)
    base = MADE if settings.model.base_model == "made" else BASE
    set_seed(settings.seed)
    with TemporaryDirectory() as folder:
        return build(settings, prepare_base(base, Path(folder)), device)
