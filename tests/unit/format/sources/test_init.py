import subprocess
import sys

import pytest

from stages.config.kinds import ROWS, TAB_SEPARATED, TRAINING
from stages.format.sources import columns, reader, tab_separated


@pytest.mark.parametrize("kind", TRAINING)
def test_every_kind_has_a_reader(kind):
    assert callable(reader(kind))


def test_the_files_that_are_downloaded_are_those_that_are_read():
    assert {*ROWS} == {f"*{suffix}" for suffix in columns.SUFFIXES}
    assert {*TAB_SEPARATED} == {f"*{suffix}" for suffix in tab_separated.SUFFIXES}


def test_naming_the_kinds_imports_no_heavy_library():
    code = "import sys, stages.format.sources; print([m for m in ('pyarrow', 'numpy', 'datasets', 'torch') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
