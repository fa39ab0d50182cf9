"""The lexical base: the same texts and seed give the same bytes, and rare tokens weigh most."""

import subprocess
import sys
from functools import partial
from pathlib import Path

import torch
from transformers import BertConfig, BertForMaskedLM

from stages.make_base.lexical import draw_model, make_base
from tests import ROOT

MAKE = "import sys; from pathlib import Path; from tests.conftest import make; make(Path(sys.argv[1]))"


def test_another_process_gives_the_same_base(base: Path, tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", MAKE, str(tmp_path)], cwd=ROOT, check=True, capture_output=True)
    files = sorted(path.name for path in base.iterdir())
    assert {"tokenizer.json", "model.safetensors"} <= set(files)
    for name in files:
        assert (base / name).read_bytes() == (tmp_path / name).read_bytes(), name


def test_the_weight_of_a_token_for_itself_follows_its_rarity() -> None:
    config = BertConfig(vocab_size=300, hidden_size=128, num_hidden_layers=1, num_attention_heads=2, intermediate_size=512)
    rarity = torch.linspace(0, 6, 300)
    model = draw_model(config, [0], rarity, seed=1).eval()
    with torch.no_grad():
        logits = model(torch.arange(300)[:, None]).logits[:, 0]
    own = logits.diagonal().relu().log1p()
    assert own[:10].max() < 0.5 < 1.5 < own[-10:].min()
    assert torch.corrcoef(torch.stack([own[1:], rarity[1:].sqrt()]))[0, 1] > 0.95


def test_texts_without_a_token_or_all_alike_still_make_a_base(tmp_path: Path) -> None:
    shape = {"vocab_size": 500, "hidden_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    for name, texts in (("none", []), ("one", ["Ferja"]), ("blank", [" "])):
        make_base(partial(list, texts), texts, tmp_path / name, **shape, max_seq_length=64, seed=1)
        weights = BertForMaskedLM.from_pretrained(tmp_path / name).state_dict().values()
        assert all(weight.isfinite().all() for weight in weights)
