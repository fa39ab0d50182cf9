"""Which changes to a model's folder make it another model."""

import shutil
from pathlib import Path

from stages.engines.identity import model_digest
from stages.retrieval.treatment import Treatment


def test_weights_and_tokenizers_count_and_what_stands_beside_them_does_not(tmp_path: Path, encoder_folder: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(encoder_folder, copy)
    (copy / "README.md").write_text("another card")
    (copy / ".cache").mkdir()
    (copy / ".cache/lock").write_text("")
    Treatment("max_score").write(copy)
    assert model_digest(copy) == model_digest(encoder_folder)
    for name in ("model.safetensors", "tokenizer.json"):
        path = next(copy.rglob(name))
        content = path.read_bytes()
        path.write_bytes(content[:-1] + b" ")
        assert model_digest(copy) != model_digest(encoder_folder)
        path.write_bytes(content)
