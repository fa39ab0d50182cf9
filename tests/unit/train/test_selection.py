"""The checkpoint with the highest score becomes the model, also after an interruption and with a base that has its own code."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from sentence_transformers import SparseEncoder
from transformers import TrainerCallback

from stages.encoders.active_dims import BaseVectors
from stages.encoders.attention import model_attention
from stages.pretrained.norbert import prepare_base
from stages.retrieval.sets import RetrievalSet
from stages.train import trainer
from stages.train.selection import GAIN, Validation
from tests.conftest import SENTENCES
from tests.fakes.lookalikes.folders import write_folder
from tests.refused import refused
from tests.sections import model_section
from tests.unit.train.conftest import Run

SET = RetrievalSet(
    name="NanoSmall",
    language="nb",
    queries={f"q{i}": " ".join(text.split()[:2]) for i, text in enumerate(SENTENCES)},
    corpus={f"d{i}": text for i, text in enumerate(SENTENCES)},
    qrels={f"q{i}": {f"d{i}": 1.0} for i in range(len(SENTENCES))},
    entry="sample",
    nano=True,
)
METRIC = "eval_NanoBEIR_mean_dot_ndcg@10"


class Scripted(Validation):
    """Returns the test's scores, after running the real evaluation."""

    script: tuple[float, ...] = ()
    calls = 0

    def score(self, model: SparseEncoder) -> dict[str, float]:
        line = super().score(model)
        self.calls += 1
        return line | {METRIC: self.script[self.calls - 1]}


def scripted(*script: float, calls: int = 0, eval_steps: int = 3, **options: Any) -> Scripted:
    validation = Scripted([SET], eval_steps=eval_steps, batch_size=8, **options)
    validation.script, validation.calls = script, calls
    return validation


class Dies(TrainerCallback):
    """Interrupts the trainer after ``step`` steps."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == self.step:
            raise KeyboardInterrupt


def weights(folder: Path) -> bytes:
    return (folder / "model.safetensors").read_bytes()


def saved(model: SparseEncoder, folder: Path) -> bytes:
    model.save_pretrained(str(folder), create_model_card=False)
    return weights(folder)


def test_the_best_checkpoint_is_the_model_whatever_the_rotation(run: Run, tmp_path: Path) -> None:
    kept: dict[int, bytes] = {}

    class Keep(TrainerCallback):
        def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            kept[state.global_step] = weights(tmp_path / "checkpoints" / f"checkpoint-{state.global_step}")

    model, trained = run(validation=scripted(0.1, 0.9, 0.9, 0.2), callbacks=[Keep()], save_steps=12)
    assert trained.best_step == 6
    assert sorted(kept) == [3, 6, 9, 12] and kept[6] != kept[12]
    assert saved(model, tmp_path / "final") == kept[6]
    assert [entry["step"] for entry in trained.log if METRIC in entry] == [3, 6, 9, 12]
    assert len(trained.log) == 12 and all("loss" in entry for entry in trained.log)


def test_evaluating_does_not_change_training(run: Run, tmp_path: Path) -> None:
    plain, without = run()
    watched, with_scores = run(validation=scripted(0.1, 0.2, 0.3, 0.4))
    assert saved(plain, tmp_path / "plain") == saved(watched, tmp_path / "watched")
    assert [entry["loss"] for entry in without.log] == [entry["loss"] for entry in with_scores.log]
    assert without.best_step is None


def test_an_interrupted_run_keeps_the_best_so_far(run: Run, tmp_path: Path) -> None:
    undisturbed, whole = run(validation=scripted(0.1, 0.9, 0.3, 0.4))
    with pytest.raises(KeyboardInterrupt):
        run(validation=scripted(0.1, 0.9, 0.3), callbacks=[Dies(10)])
    last = tmp_path / "checkpoints" / "checkpoint-9"
    model, trained = run(validation=scripted(0.1, 0.9, 0.3, 0.4, calls=3), resume_from=last)
    assert trained == whole and trained.best_step == 6
    assert saved(model, tmp_path / "a") == saved(undisturbed, tmp_path / "b")


def test_patience_ends_the_run_also_across_an_interruption(run: Run, tmp_path: Path) -> None:
    options = {"patience": 2, "eval_steps": 2}
    early, whole = run(validation=scripted(0.1, 0.9, 0.2, 0.3, **options))
    assert whole.best_step == 4 and whole.log[-1]["step"] == 8
    with pytest.raises(KeyboardInterrupt):
        run(validation=scripted(0.1, 0.9, 0.2, **options), callbacks=[Dies(7)])
    last = tmp_path / "checkpoints" / "checkpoint-6"
    model, trained = run(validation=scripted(0.1, 0.9, 0.2, 0.3, calls=3, **options), resume_from=last)
    assert trained == whole
    assert saved(model, tmp_path / "a") == saved(early, tmp_path / "b")


@pytest.mark.parametrize("patience", [2, None])
def test_a_finished_run_is_not_trained_further(run: Run, tmp_path: Path, patience: int | None) -> None:
    script = (0.9, 0.1, 0.2, 0.3)
    first, whole = run(validation=scripted(*script, patience=patience))
    last = tmp_path / "checkpoints" / f"checkpoint-{int(whole.log[-1]['step'])}"
    model, trained = run(validation=scripted(patience=patience), resume_from=last)  # an evaluation would run out of script
    assert trained == whole
    assert saved(model, tmp_path / "a") == saved(first, tmp_path / "b")


def test_a_finished_run_without_evaluation_is_not_trained_further(run: Run, tmp_path: Path) -> None:
    first, whole = run(max_steps=9)  # within an epoch
    model, trained = run(max_steps=9, resume_from=tmp_path / "checkpoints" / "checkpoint-9")
    assert trained == whole
    assert saved(model, tmp_path / "a") == saved(first, tmp_path / "b")


@pytest.mark.usefixtures("modules_cache")
@pytest.mark.parametrize("family", ["norbert4", "norbert3"])
def test_the_best_weights_are_loaded_into_a_model_with_its_own_code(run: Run, tmp_path: Path, family: str) -> None:
    write_folder(tmp_path / "base", family)
    section = model_section(max_seq_length=16, trust_remote_code=True)
    base = prepare_base(tmp_path / "base", tmp_path / "work")
    model, trained = run(base=base, section=section, validation=scripted(0.9, 0.1), max_steps=6, save_steps=6)
    assert trained.best_step == 3
    best = weights(tmp_path / "checkpoints" / "checkpoint-3")
    assert best != weights(tmp_path / "checkpoints" / "checkpoint-6")
    assert saved(model, tmp_path / "final") == best


def test_a_missing_best_checkpoint_is_an_error_before_training(run: Run, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(validation=scripted(0.9, 0.1), callbacks=[Dies(7)])
    (tmp_path / "checkpoints" / "checkpoint-3" / "trainer_state.json").unlink()
    with refused("checkpoint-3", "missing", "training.resume"):
        run(validation=scripted(calls=2), resume_from=tmp_path / "checkpoints" / "checkpoint-6")


def test_scores_are_float32_if_training_is_in_mixed_precision(run: Run) -> None:
    model, _ = run(max_steps=3)
    validation = Validation([SET], eval_steps=3, batch_size=8)
    expected = validation.score(model)
    forward = model.forward

    def autocast(*args: Any, **kwargs: Any) -> Any:
        with torch.autocast("cpu", torch.bfloat16):
            return forward(*args, **kwargs)

    model.__dict__["forward"] = autocast
    assert validation.score(model) == expected
    assert model.__dict__["forward"] is autocast


def test_the_metric_must_be_one_of_the_sets() -> None:
    both = Validation([SET, replace(SET, name="Other", nano=False)], eval_steps=1, batch_size=8)
    assert both.decisive == METRIC and both.labels()[METRIC] == "NanoBEIR mean, n = 1 sets"
    assert both.labels()["eval_Other_ndcg@10"] == f"Other, n = {len(SENTENCES)} queries"
    assert Validation([SET], eval_steps=1, batch_size=8, metric="eval_NanoSmall_ndcg@10").decisive == "eval_NanoSmall_ndcg@10"
    with refused("training.metric_for_best_model", "accuracy", "eval_NanoBEIR_mean_dot_ndcg@10"):
        Validation([SET], eval_steps=1, batch_size=8, metric="accuracy")


@pytest.mark.parametrize(("entry", "languages", "warned"), [
    ("sample", ["da", "nb"], False), ("sample", ["da"], True), ("dev", ["da"], False), ("sample", [], False),
])  # fmt: skip
def test_choosing_for_another_language_is_a_one_line_warning(entry: str, languages: list[str], warned: bool) -> None:
    warning = Validation([replace(SET, entry=entry)], eval_steps=1, batch_size=8).foreign(languages)
    assert (warning is not None) is warned
    assert not warning or ("\n" not in warning and "NanoSmall (nb)" in warning)


def test_steps_use_the_configured_attention_and_evaluation_the_models_own(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer, "FLASH", "eager")  # flash attention needs a GPU
    seen: dict[str, set[str | None]] = {"step": set(), "evaluation": set()}

    class See(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            seen["step"].add(model_attention(kwargs["model"]))

    validation = scripted(0.1, 0.9, 0.3, 0.4)
    score = validation.score
    monkeypatch.setattr(validation, "score", lambda model: seen["evaluation"].add(model_attention(model)) or score(model))
    model, _ = run(validation=validation, callbacks=[See()], flash_attention=True)
    assert seen == {"step": {"eager"}, "evaluation": {"sdpa"}}
    assert model_attention(model) == "sdpa"


class Gains(Validation):
    """Scores a CSR model as usual, and replaces the gain by the test's."""

    script: tuple[float, ...] = ()

    def score(self, model: SparseEncoder) -> dict[str, float]:
        line = super().score(model)
        assert set(line) == set(self.metric_names())
        gain, *self.script = self.script
        return line | {GAIN: gain}


@pytest.mark.parametrize(
    ("gains", "best", "last"), [((-0.1, -0.2, -0.3, -0.1), 0, 12), ((-0.1, 0.0, 0.1, 0.1), 9, 12), ((-0.1, -0.1, 0.1, 0.1), 0, 6)]
)
def test_csr_keeps_the_untrained_encoder_unless_a_step_is_better(run: Run, gains: tuple[float, ...], best: int, last: int) -> None:
    options = {"patience": 2} if last < 12 else {}
    validation = Gains([SET], eval_steps=3, batch_size=8, active_dims=(2, 8), **options)
    validation.script = gains
    model, trained = run(architecture="csr", validation=validation)
    assert (trained.best_step, trained.log[-1]["step"]) == (best, last)
    [weight] = [value for name, value in model.state_dict().items() if name.endswith("encoder.weight") and value.shape[0] == 128]
    signed = torch.eye(weight.shape[1])
    assert torch.equal(weight[0], signed[0]) == (best == 0)


def test_the_gain_is_the_lowest_one_if_a_number_of_active_dimensions_has_lost(run: Run) -> None:
    validation = Validation([SET], eval_steps=3, batch_size=8, active_dims=(2, 8))
    model, _ = run(architecture="csr", validation=validation)
    now = {number: BaseVectors.of(model, SET).ndcg(model, number) for number in (2, 8)}
    validation.control = {2: now[2] - 0.25, 8: now[8] - 0.5}
    assert validation.score(model)[GAIN] == pytest.approx(0.375)
    validation.control = {2: now[2] - 0.25, 8: now[8] + 0.125}
    assert validation.score(model)[GAIN] == pytest.approx(-0.125)
    assert validation.score(model)[METRIC] == pytest.approx(now[8])
