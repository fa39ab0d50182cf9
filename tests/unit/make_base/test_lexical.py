"""The base model that is made: the same texts and seed give the same bytes."""

import subprocess
import sys
from pathlib import Path

from tests import ROOT

MAKE = """
import sys
from pathlib import Path
from stages.make_base.lexical import make_base
from tests.conftest import SENTENCES
make_base(lambda: SENTENCES, Path(sys.argv[1]), vocab_size=500, hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
          max_seq_length=32, seed=1)
"""


def test_two_processes_make_the_same_base(tmp_path: Path) -> None:
    for name in ("one", "two"):
        subprocess.run([sys.executable, "-c", MAKE, str(tmp_path / name)], cwd=ROOT, check=True, capture_output=True)
    files = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert {"tokenizer.json", "model.safetensors"} <= set(files)
    for name in files:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes(), name
