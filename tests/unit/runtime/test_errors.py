"""What a stage prints at its end, and its exit status."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests import ROOT

ENVIRONMENT = {"PYTHONPATH": str(ROOT)}


@pytest.mark.parametrize(
    ("body", "status", "stdout", "stderr"),
    [
        ("return '3 cups'", 0, r"make-tea: 3 cups \(0\.\d s\)\n", ""),
        ("pass", 0, "", ""),
        ("raise UserError('`cups`: must be greater than 0\\n`pot`: is missing')", 2, "", "error: `cups`: .*\nerror: `pot`: .*\n"),
        ("raise KeyboardInterrupt", 130, "", "interrupted\n"),
        (
            "raise OSError(28, 'No space left', 'data/x')",
            2,
            "",
            "error: data/x: cannot be written .No space left on device.; make room .*\n",
        ),
        ("raise OSError(28, 'No space left')", 2, "", "error: .*TMPDIR.*: cannot be written .*; make room .*\n"),
        ("raise OSError(30, '', 'metrics/x')", 2, "", "error: metrics/x: cannot be written .Read-only file system.; make it writable .*\n"),
        ("raise BrokenPipeError('of a worker')", 1, "\n", "(?s)Traceback.*of a worker\n"),
        ("e = KeyboardInterrupt('at cup 2'); e.add_note('boil'); raise e", 130, "", "interrupted at cup 2; boil\n"),
    ],
)
def test_a_stage_prints_a_line_and_exits(body: str, status: int, stdout: str, stderr: str, tmp_path: Path) -> None:
    done = subprocess.run(stage(body, tmp_path), cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, timeout=60)
    assert done.returncode == status
    assert re.fullmatch(stdout, done.stdout) and re.fullmatch(stderr, done.stderr), done


def test_a_terminal_that_cannot_show_a_letter_fails_no_stage(tmp_path: Path) -> None:
    ascii_only = ENVIRONMENT | {"PYTHONIOENCODING": "ascii"}
    command = stage("print('blåbær'); return 'grøt'", tmp_path)
    done = subprocess.run(command, cwd=tmp_path, env=ascii_only, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "") and re.search(r"bl\\xe5.*\n.*gr\\xf8t", done.stdout)


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("body", ["return 'tea'", "print('tea', flush=True)", "print('tea'); sys.exit(0)"])
def test_stdout_that_nobody_reads_any_more_prints_nothing(body: str, unbuffered: str, tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    environment = ENVIRONMENT | {"PYTHONUNBUFFERED": unbuffered}
    with os.fdopen(writer, "w") as stdout:
        done = subprocess.run(stage(body, tmp_path), cwd=tmp_path, env=environment, stdout=stdout, stderr=subprocess.PIPE, timeout=60)
    assert done.stderr == b"" and done.returncode in (0, 1)


def stage(body: str, folder: Path) -> list[str]:
    """The command that runs a stage whose ``main`` is ``body``."""
    package = folder / "kitchen" / "make_tea"
    package.mkdir(parents=True)
    main = f"import sys\nfrom stages.runtime.errors import UserError, run_stage\ndef main():\n    {body}\nrun_stage(main)\n"
    (package / "__main__.py").write_text(main, encoding="utf-8")
    return [sys.executable, "-m", "kitchen.make_tea"]
