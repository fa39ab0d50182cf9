"""The lexical base: the same texts and seed give the same bytes."""

import subprocess
import sys
from pathlib import Path

from tests import ROOT

MAKE = "import sys; from pathlib import Path; from tests.conftest import make; make(Path(sys.argv[1]))"


def test_another_process_gives_the_same_base(base: Path, tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", MAKE, str(tmp_path)], cwd=ROOT, check=True, capture_output=True)
    files = sorted(path.name for path in base.iterdir())
    assert {"tokenizer.json", "model.safetensors"} <= set(files)
    for name in files:
        assert (base / name).read_bytes() == (tmp_path / name).read_bytes(), name
