import subprocess
import sys

import pytest

from stages.config.kinds import TRAINING
from stages.format.sources import reader


@pytest.mark.parametrize("kind", TRAINING)
def test_every_kind_has_a_reader(kind):
    assert callable(reader(kind))


def test_naming_the_kinds_imports_no_heavy_library():
    code = "import sys, stages.format.sources; print([m for m in ('pyarrow', 'numpy', 'datasets', 'torch') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
