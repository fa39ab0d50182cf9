"""What a stage prints at its end, and its exit status."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests import ROOT


@pytest.mark.parametrize(
    ("body", "status", "stdout", "stderr"),
    [
        ("return '3 cups'", 0, r"make-tea: 3 cups \(0\.\d s\)\n", ""),
        ("pass", 0, "", ""),
        ("raise UserError('`cups`: must be greater than 0\\n`pot`: is missing')", 2, "", "error: `cups`: .*\nerror: `pot`: .*\n"),
        ("raise KeyboardInterrupt", 130, "", "interrupted\n"),
        ("e = KeyboardInterrupt('at cup 2'); e.add_note('boil'); raise e", 130, "", "interrupted at cup 2; boil\n"),
    ],
)
def test_a_stage_prints_a_line_and_exits(body: str, status: int, stdout: str, stderr: str, tmp_path: Path) -> None:
    stage = tmp_path / "kitchen" / "make_tea"
    stage.mkdir(parents=True)
    main = f"from stages.runtime.errors import UserError, run_stage\ndef main():\n    {body}\nrun_stage(main)\n"
    (stage / "__main__.py").write_text(main, encoding="utf-8")
    command = [sys.executable, "-m", "kitchen.make_tea"]
    done = subprocess.run(command, cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=60)
    assert done.returncode == status
    assert re.fullmatch(stdout, done.stdout) and re.fullmatch(stderr, done.stderr), done
