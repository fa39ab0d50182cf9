"""How far a job is, in a log."""

import pytest

from stages.engines.progress import Progress


def test_a_log_gets_a_line_now_and_then_with_the_time_left(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    now = 0.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    with Progress("encoding", 1_000, 200, "documents") as progress:
        now = 30.0
        progress.update(100)
        now = 80.0
        progress.reach(600)
        progress.reach(500)
    assert capsys.readouterr().err == "encoding: 600 of 1,000 documents, 1 min 20 s left\n"
