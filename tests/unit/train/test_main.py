"""The settings of params.yaml reach the model and the loss; the stage is stopped before it trains."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from datasets import Dataset
from ruamel.yaml import YAML
from sentence_transformers import SparseEncoder
from sentence_transformers.sparse_encoder.losses import (
    CachedSpladeLoss,
    FlopsLoss,
    SparseDistillKLDivLoss,
    SparseMarginMSELoss,
    SparseMultipleNegativesRankingLoss,
)

from stages.config.params import PARAMS, read_yaml, validated
from stages.encoders.objective import OwnNegativesLoss
from stages.encoders.regularizers import DfFlopsLoss, L1Loss
from stages.resolve.__main__ import resolve, write
from stages.retrieval.treatment import Treatment
from stages.retrieval.windows import Windows
from stages.train import __main__ as stage
from stages.train.checkpoints import WRITTEN
from tests import ROOT
from tests.conftest import SENTENCES

Begin = Callable[..., tuple[Any, Any, Any]]


class Begun(Exception):
    """Training would begin here."""


@pytest.fixture
def prepare(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, Any]], None]:
    """Write what the stage reads, with dotted keys of params.yaml changed."""

    def write_inputs(changes: dict[str, Any]) -> None:
        values = YAML(typ="safe", pure=True).load((ROOT / PARAMS).read_text(encoding="utf-8"))
        for dotted, value in ({"model.base_model": str(base), "model.max_seq_length": 32, "tracking.mlflow": False} | changes).items():
            *path, last = dotted.split(".")
            section = values
            for key in path:
                section = section[key]
            section[last] = value
        with (tmp_path / "params.yaml").open("w", encoding="utf-8") as file:
            YAML().dump(values, file)
        write(resolve(validated(read_yaml(tmp_path / "params.yaml"))), tmp_path / "resolved")
        columns = {"anchor": SENTENCES, "positive": SENTENCES, "negative": SENTENCES[::-1], "source": ["a"] * len(SENTENCES)}
        columns |= {"scores": [[1.0, 0.0]] * len(SENTENCES), "batch": pa.array([0] * len(SENTENCES), pa.int32())}
        for folder in ("data/mixed", "models", "data/validation"):
            (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table(columns), tmp_path / "data/mixed/train.parquet")
        (tmp_path / "models" / "base").symlink_to(base)
        for code in stage.CODE:
            (tmp_path / code).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / code).symlink_to(ROOT / code)
        monkeypatch.chdir(tmp_path)

    return write_inputs


@pytest.fixture
def begin(prepare: Callable[[dict[str, Any]], None], monkeypatch: pytest.MonkeyPatch) -> Begin:
    """Run the stage with dotted keys of params.yaml changed; returns the model, the loss, and (training section, seed)."""

    def run(changes: dict[str, Any]) -> tuple[Any, Any, Any]:
        prepare(changes)
        seen: list[Any] = []

        def stop(model: Any, loss: Any, encoder: Any, rows: Any, training: Any, *, seed: int, **rest: Any) -> None:
            seen.extend((model, loss, (training, seed)))
            raise Begun

        monkeypatch.setattr("stages.train.run.train", stop)
        with pytest.raises(Begun):
            stage.main()
        model, loss, told = seen
        return model, loss, told

    return run


def test_only_other_finished_runs_checkpoints_are_removed_and_a_resumed_run_is_unfinished(begin: Begin, tmp_path: Path) -> None:
    begin({})
    [folder] = (path for path in (tmp_path / "checkpoints").iterdir() if path.is_dir())
    for name in ("finished", "interrupted"):
        folder.with_name(name).mkdir()
    (folder / WRITTEN).touch()
    (folder.with_name("finished") / WRITTEN).touch()
    with pytest.raises(Begun):
        stage.main()
    assert folder.exists() and not (folder / WRITTEN).exists()
    assert folder.with_name("interrupted").exists() and not folder.with_name("finished").exists()


def test_prompts(begin: Begin) -> None:
    model, _, _ = begin({"model.prompts": {"query": "spørsmål: ", "document": None}})
    assert model.prompts["query"] == "spørsmål: " and not model.prompts.get("document")


@pytest.mark.parametrize("long_documents", ["cut", "max_score"])
def test_the_treatment_of_long_documents_is_written_into_the_model_and_announced(
    prepare: Callable[[dict[str, Any]], None], tmp_path: Path, capsys: pytest.CaptureFixture[str], long_documents: str
) -> None:
    prepare({"model.long_documents": long_documents, "model.max_seq_length": 8, "training.max_steps": 1})
    stage.main()
    written = Treatment.read(tmp_path / "models" / "final")
    assert (written.long_documents, written.window, written.overlap) == (long_documents, None, 1)
    [line] = [line for line in capsys.readouterr().out.splitlines() if "of the positives" in line]
    assert "8 tokens" in line and ("set model.long_documents" in line) is (long_documents == "cut")
    model = SparseEncoder(str(tmp_path / "models" / "final"))
    [arrow] = (tmp_path / "checkpoints").glob("*/rows.arrow")
    positives = Dataset.from_file(str(arrow))["positive"][:]
    windows = Windows.of(model, written)
    assert windows and bool(windows.long(positives)) is (long_documents == "cut")


def test_gradcache(begin: Begin) -> None:
    _, loss, _ = begin({"training.mini_batch_size": 2})
    assert isinstance(loss, CachedSpladeLoss) and loss.mini_batch_size == 2


@pytest.mark.parametrize(("name", "kind"), [("margin_mse", SparseMarginMSELoss), ("kl", SparseDistillKLDivLoss)])
def test_distillation(begin: Begin, name: str, kind: type) -> None:
    _, loss, _ = begin({"loss.distillation": name, "loss.distillation_weight": 3.0, "loss.distillation_temperature": 0.5})
    assert type(loss.loss.distillation) is kind and loss.loss.weights == (1.0, 3.0) and loss.loss.temperature == 0.5
    assert isinstance(loss.loss.contrastive, OwnNegativesLoss)


def test_distillation_with_the_negatives_of_the_batch(begin: Begin) -> None:
    _, loss, _ = begin({"loss.distillation": "kl", "loss.hard_negatives": "batch"})
    assert isinstance(loss.loss.contrastive, SparseMultipleNegativesRankingLoss)


@pytest.mark.parametrize(
    ("name", "of_queries", "of_documents"),
    [("l1", L1Loss, L1Loss), ("df_flops", DfFlopsLoss, DfFlopsLoss), ("l1_flops", L1Loss, FlopsLoss)],
)
def test_regulariser_its_weights_and_targets(begin: Begin, name: str, of_queries: type, of_documents: type) -> None:
    _, loss, _ = begin({
        "loss.regularizer": name, "loss.target_active_dims": 200, "loss.query_target_active_dims": 20,
        "loss.query_regularizer_weight": 0.25, "loss.document_regularizer_weight": 0.5,
    })  # fmt: skip
    assert type(loss.query_regularizer.regularizer) is of_queries and type(loss.document_regularizer.regularizer) is of_documents
    assert (loss.document_regularizer.target, loss.query_regularizer.target) == (200, 20)
    assert (loss.document_regularizer_weight, loss.query_regularizer_weight) == (0.5, 0.25)


def test_optimisation(begin: Begin) -> None:
    _, _, (training, seed) = begin(
        {"training.gradient_checkpointing": True, "training.learning_rate": 3e-4, "training.optim": "adafactor", "seed": 9}
    )
    assert (training.gradient_checkpointing, training.learning_rate, training.optim, seed) == (True, 3e-4, "adafactor", 9)


def test_csr(begin: Begin) -> None:
    model, loss, _ = begin({
        "architecture": "csr", "presets.sample.csr.training.eval_steps": None,
        "model.k": 4, "model.hidden_dim": 128, "model.k_aux": 16, "model.whitening": 0.0,
        "evaluation.active_dims": [8], "loss.auxiliary_weight": 0.5, "loss.contrastive_weight": 2.0, "loss.similarity_weight": 7.0,
    })  # fmt: skip
    [autoencoder] = [module for module in model if type(module).__name__ == "SparseAutoEncoder"]
    assert (autoencoder.k, autoencoder.hidden_dim, autoencoder.k_aux) == (4, 128, 16)
    axes = dict(model.named_children())["whitening"].linear.weight
    assert torch.allclose(axes @ axes.T, torch.eye(len(axes)), atol=1e-5)  # not whitened, only centred and turned
    assert (loss.beta, loss.gamma, loss.loss.weights[0], loss.reconstruction_loss.similarity_weight) == (0.5, 1.0, 2.0, 7.0)


def test_a_run_is_recorded_if_dvc_lock_has_its_fingerprint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert not stage.recorded("0123456789abcdef")
    Path("dvc.lock").write_text(f"md5: {hashlib.md5(b'0123456789abcdef' + bytes([10])).hexdigest()}\n")
    assert stage.recorded("0123456789abcdef") and not stage.recorded("f" * 16)


@pytest.mark.parametrize(("resume", "said"), [(True, "resumes from checkpoint-2"), (False, "starts afresh")])
def test_ctrl_c_says_what_the_next_run_does(resume: bool, said: str, begin: Begin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any, checkpoints: Path, **__: Any) -> None:
        (checkpoints / "checkpoint-2").mkdir()
        (checkpoints / "checkpoint-2" / "trainer_state.json").write_text('{"global_step": 2}')
        raise KeyboardInterrupt("at step 3 of 12")

    begin({"training.resume": resume})
    monkeypatch.setattr("stages.train.run.train", interrupted)
    with pytest.raises(KeyboardInterrupt) as interrupt:
        stage.main()
    assert str(interrupt.value) == "at step 3 of 12" and interrupt.value.__notes__ == [f"`dvc repro` {said}"]
