"""Seismic, which needs the extra seismic."""

from pathlib import Path

import pytest
from sentence_transformers import SparseEncoder

from stages.engines.build import Model
from tests.unit.engines.agreement import agrees_with_exact
from tests.unit.engines.conftest import Write


@pytest.mark.slow
@pytest.mark.usefixtures("small_parts")
def test_it_finds_what_exact_search_finds(tmp_path: Path, write_source: Write, model: Model, encoder: SparseEncoder) -> None:
    agrees_with_exact(tmp_path, write_source(), model, encoder, "seismic", error=2e-3)
