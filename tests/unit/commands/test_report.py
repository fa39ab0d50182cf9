"""`nordic-sparse report` ends with what to do next, in settings that the architecture has."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from stages.commands import report
from stages.config.params import ARCHITECTURE_KEYS
from tests.refused import refused


@pytest.mark.parametrize("architecture", ARCHITECTURE_KEYS)
def test_the_report_has_the_scores_and_ends_with_commands(
    architecture: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(report, "pending", lambda: ["train"])
    monkeypatch.setattr(report, "read_resolved", lambda stage: {"architecture": architecture, "profile": "sample", "sets": {"mine": {}}})
    (tmp_path / "metrics").mkdir()
    scores = {"ndcg@10": 0.5, "bm25_ndcg@10": 0.4}
    report.METRICS.write_text(json.dumps({"mine": scores, "mean": scores}))
    report.DATA.write_text(json.dumps({"nli": {"train": {"read": 7, "dropped": {}}}}))
    report.MIX.write_text(json.dumps({"sources": {"nli": {"used": 5}}}))
    report.main()
    shown = capsys.readouterr().out
    assert all(part in shown for part in ("nli", "mine", "+0.1000", "earlier run: train"))
    assert "  nordic-sparse index mine " in shown
    changes = [line.split()[4] for line in shown.splitlines() if line.startswith("  dvc exp run -S ")]
    section, _, key = changes[0].partition("=")[0].partition(".")
    assert key in ARCHITECTURE_KEYS[architecture][section]
    assert shown.rstrip().splitlines()[-1].startswith("  dvc plots show")


@pytest.mark.parametrize(
    ("wanted", "terminal", "display", "opened"),
    [(None, True, ":0", 1), (None, True, "", 0), (None, False, ":0", 0), (False, True, ":0", 0), (True, False, "", 1)],
)
def test_the_page_opens_by_itself_only_on_a_terminal_with_a_screen(
    wanted: bool | None, terminal: bool, display: str, opened: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(report, "pending", list)
    monkeypatch.setattr(report, "read_resolved", lambda stage: {"architecture": "splade", "profile": "sample"})
    monkeypatch.setattr(report.sys, "platform", "linux")
    monkeypatch.setattr(report.sys.stdout, "isatty", lambda: terminal)
    monkeypatch.setenv("DISPLAY", display)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    addresses: list[str] = []
    monkeypatch.setattr(report.webbrowser, "open", addresses.append)
    (tmp_path / "metrics").mkdir()
    scores = {"ndcg@10": 0.5, "bm25_ndcg@10": 0.4}
    report.METRICS.write_text(json.dumps({"mine": scores, "mean": scores}))
    report.DATA.write_text("{}")
    report.MIX.write_text(json.dumps({"sources": {}}))
    report.main(wanted)
    assert addresses == [(tmp_path / "report.html").as_uri()] * opened
    assert (tmp_path / "report.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


def test_without_scores_the_command_that_makes_them_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with refused("metrics/evaluation.json", "missing", "`dvc repro`"):
        report.main()


@pytest.mark.parametrize(
    ("damage", "line"),
    [
        (lambda: report.DATA.unlink(), "metrics/data.json … missing … `dvc repro`"),
        (lambda: report.METRICS.write_text('{"mine": {"ndcg'), "metrics/evaluation.json … JSON … `dvc repro`"),
        (lambda: report.MIX.write_text("[]"), "metrics/mix.json … JSON … `dvc repro`"),
        (lambda: report.SLICES.write_text('{"langu'), "metrics/slices.json … JSON … `dvc repro`"),
        (lambda: (report.PAGE / "x").mkdir(parents=True), "report.html … cannot be written"),
    ],
)
def test_a_file_that_is_missing_or_damaged_is_named(
    damage: Callable[[], object], line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(report, "pending", list)
    monkeypatch.setattr(report, "read_resolved", lambda stage: {"architecture": "splade", "profile": "sample"})
    report.METRICS.parent.mkdir()
    scores = {"ndcg@10": 0.5, "bm25_ndcg@10": 0.4}
    report.METRICS.write_text(json.dumps({"mine": scores, "mean": scores}))
    report.DATA.write_text("{}")
    report.MIX.write_text(json.dumps({"sources": {}}))
    damage()
    with refused(line):
        report.main(False)
