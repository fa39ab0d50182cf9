"""A tiny model and a few documents to index."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from sentence_transformers import SparseEncoder

from stages.engines.build import Model
from stages.engines.identity import model_digest
from stages.engines.sources import Columns, Source, find
from stages.retrieval.treatment import Treatment
from tests import tiny_models

Write = Callable[..., Source]
"""Of texts, see `write_source`."""
TEXTS = [
    "øl er en drikk",
    "hva er klokka?",
    "båten til ön går kl. 7",
    "et museum i Aarhus",
    "søppelet tømmes mandag",
    "åtte biblioteker i Bodø",
    "en svømmehall",
    "ferja frå kaia",
    "däck på återvinningscentralen",
    "uge 29",
]


@pytest.fixture(scope="session")
def encoder_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_models.save(tmp_path_factory.mktemp("engines") / "splade", "splade")


@pytest.fixture(scope="session")
def encoder(encoder_folder: Path) -> SparseEncoder:
    return SparseEncoder(str(encoder_folder), device="cpu", local_files_only=True)


@pytest.fixture(scope="session")
def model(encoder_folder: Path, encoder: SparseEncoder) -> Model:
    return Model(encoder_folder, model_digest(encoder_folder), Treatment(), lambda: encoder)


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of four documents."""
    monkeypatch.setattr("stages.engines.build.PART", 4)


@pytest.fixture
def write_source(tmp_path: Path) -> Write:
    """Writes texts as docs.jsonl, with the ids d0, d1 …, and returns the source."""

    def write(texts: Sequence[str] = TEXTS) -> Source:
        path = tmp_path / "docs.jsonl"
        rows = [{"id": f"d{number}", "text": text, "language": "nb"} for number, text in enumerate(texts)]
        path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
        return find(str(path), Columns(), tmp_path)

    return write


@pytest.fixture
def not_loading(model: Model) -> Model:
    """A model that must not be loaded."""

    def refuse() -> SparseEncoder:
        raise AssertionError("the model was loaded")

    return replace(model, load=refuse)
