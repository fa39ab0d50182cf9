"""What a container keeps of a trial when it dies, and what the next one finds."""

import json
from pathlib import Path

import pytest

from stages.launchers.container import Job, last_line, mirror, report, restore
from stages.runtime.files import read_json, write_json


def checkpoint(folder: Path, step: int, *, complete: bool = True) -> Path:
    path = folder / "1f" / f"checkpoint-{step}"
    path.mkdir(parents=True)
    (path / "model.safetensors").write_bytes(b"x")
    if complete:
        (path / "trainer_state.json").write_text(json.dumps({"global_step": step}), encoding="utf-8")
    return path


def job(seed: int = 1) -> Job:
    trial = {"number": 0, "configuration": 0, "settings": {"seed": seed}}
    return Job("s", 0, "s-000", "c" * 40, {"sweep.json": {"file": {}}, "trials/000/trial.json": trial})


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*/checkpoint-*"))


def test_the_store_has_complete_checkpoints_only_and_never_none(tmp_path: Path) -> None:
    here, store = tmp_path / "here", tmp_path / "store"
    assert not mirror(here, store)
    checkpoint(here, 10)
    unfinished = checkpoint(here, 20, complete=False)
    assert mirror(here, store) and names(store) == ["checkpoint-10"]
    assert not mirror(here, store)
    (unfinished / "trainer_state.json").write_text('{"global_step": 20}', encoding="utf-8")
    (here / "1f" / "checkpoint-10" / "trainer_state.json").unlink()  # the trainer is removing it
    assert mirror(here, store) and names(store) == ["checkpoint-20"]
    (here / "1f" / "checkpoint-20" / "trainer_state.json").unlink()
    assert not mirror(here, store) and names(store) == ["checkpoint-20"]


def test_the_next_container_finds_the_checkpoints_and_records_of_the_same_trial(tmp_path: Path) -> None:
    folder, kept, later = (tmp_path / name / "s" for name in ("first", "store", "later"))
    restore(job(), folder, kept)
    checkpoint(folder / "trials/000/checkpoints", 10)
    (folder / "trials/000/progress.jsonl").write_text('{"step": 10}\n', encoding="utf-8")
    write_json(folder / "trials/000/result.json", {"state": "failed"})
    mirror(folder / "trials/000/checkpoints", kept / "trials/000/checkpoints")
    report(job(), folder, kept)

    restore(job(), later, kept)
    assert names(later / "trials/000/checkpoints") == ["checkpoint-10"]
    assert (later / "trials/000/progress.jsonl").exists()
    assert not (later / "trials/000/result.json").exists() and not (kept / "trials/000/result.json").exists()
    assert read_json(later / "sweep.json") == {"file": {}}


def test_a_trial_with_other_settings_starts_afresh(tmp_path: Path) -> None:
    folder, kept, later = (tmp_path / name / "s" for name in ("first", "store", "later"))
    restore(job(), folder, kept)
    checkpoint(kept / "trials/000/checkpoints", 10)
    restore(job(seed=2), later, kept)
    assert names(later / "trials/000/checkpoints") == names(kept / "trials/000/checkpoints") == []


@pytest.mark.parametrize(
    ("text", "line"), [("a\nerror: disk: full\n\n", "disk: full"), ("", "it has printed nothing"), (None, "it has printed nothing")]
)
def test_the_last_line_says_why(text: str | None, line: str, tmp_path: Path) -> None:
    file = tmp_path / "runner.txt"
    if text is not None:
        file.write_text(text, encoding="utf-8")
    assert last_line(file) == line
