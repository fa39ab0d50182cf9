"""A toy checkout for each test."""

from pathlib import Path

import pytest

from tests.toy import Toy


@pytest.fixture
def toy(tmp_path: Path) -> Toy:
    folder = tmp_path / "checkout"
    folder.mkdir()
    return Toy(folder)
