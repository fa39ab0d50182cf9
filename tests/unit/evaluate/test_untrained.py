"""Scores of the untrained model: made once, and anew when anything that determines them has changed."""

from dataclasses import replace
from pathlib import Path

import pytest
from sentence_transformers import SparseEncoder

from stages.config.settings import TrainSettings
from stages.evaluate.untrained import Untrained, made_from
from stages.retrieval.sets import RetrievalSet
from tests import tiny_models
from tests.sections import MODEL

MINE = RetrievalSet("mine", "nb", {"q": "bok"}, {"d": "en bok", "e": "en avis"}, {"q": {"d": 1.0}})


class Model:
    """Counts how often it is built and scored."""

    def __init__(self, folder: Path) -> None:
        self.built, self.scored, self.folder = 0, 0, folder

    def build(self) -> SparseEncoder:
        self.built += 1
        return SparseEncoder(str(tiny_models.save(self.folder, "splade")), device="cpu")

    def score(self, model: SparseEncoder, each: RetrievalSet) -> dict[str, float]:
        self.scored += 1
        return {"ndcg@10": self.scored / 4}


@pytest.fixture
def model(tmp_path: Path) -> Model:
    return Model(tmp_path / "model")


def test_a_set_is_scored_once_also_under_another_name(model: Model, tmp_path: Path) -> None:
    for _ in range(2):
        untrained = Untrained(model.build, "base", tmp_path / "kept")
        assert untrained.metrics(MINE, model.score) == untrained.metrics(replace(MINE, name="other"), model.score) == {"ndcg@10": 0.25}
    assert (model.built, model.scored) == (1, 1)


@pytest.mark.parametrize(
    "change", [{"queries": {"q": "avis"}}, {"corpus": {"d": "en bok"}}, {"qrels": {"q": {"e": 1.0}}}, {"own": frozenset("q")}]
)
def test_a_changed_set_is_scored_again(model: Model, tmp_path: Path, change: dict) -> None:
    untrained = Untrained(model.build, "base", tmp_path / "kept")
    assert [untrained.metrics(each, model.score)["ndcg@10"] for each in (MINE, replace(MINE, **change))] == [0.25, 0.5]
    assert model.built == 1


def test_another_base_is_scored_again(model: Model, tmp_path: Path) -> None:
    assert [Untrained(model.build, base, tmp_path / "kept").metrics(MINE, model.score)["ndcg@10"] for base in ("one", "two", "one")] == [
        0.25,
        0.5,
        0.25,
    ]


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"set": "mine"}', '{"scores": {"ndcg@10": null}}', '{"scores": {}}', '{"scores": 1}'])
def test_a_damaged_or_read_only_store_costs_only_time(model: Model, tmp_path: Path, damage: str) -> None:
    untrained = Untrained(model.build, "base", tmp_path / "kept")
    untrained.metrics(MINE, model.score)
    [kept] = (tmp_path / "kept").iterdir()
    kept.write_text(damage)
    assert untrained.metrics(MINE, model.score) == {"ndcg@10": 0.5}
    (tmp_path / "file").write_text("")
    assert Untrained(model.build, "base", tmp_path / "file").metrics(MINE, model.score) == {"ndcg@10": 0.75}


def test_only_what_determines_the_first_weights_counts(tmp_path: Path) -> None:
    base, rows = tmp_path / "base", tmp_path / "rows.parquet"
    base.mkdir()

    def digest(architecture: str, weights: str = "w", texts: str = "t", device: str = "cpu", **changes: object) -> str:
        (base / "model.safetensors").write_text(weights)
        rows.write_text(texts)
        settings = TrainSettings.model_construct(**{"architecture": architecture, "model": MODEL, "seed": 1, **changes})
        return made_from(settings, base, rows, device)

    for architecture in ("splade", "inference-free-splade", "csr"):
        same = digest(architecture)
        assert digest(architecture, loss="other", training="other") == same
        assert digest(architecture, weights="other") != same != digest(architecture, device="cuda")
        shorter = MODEL.model_copy(update={"max_seq_length": 7})
        assert digest(architecture, model=shorter) != same
        from_rows_and_seed = architecture != "splade"
        assert (digest(architecture, texts="other") != same) == (digest(architecture, seed=7) != same) == from_rows_and_seed
