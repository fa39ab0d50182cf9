"""The command that launchers share."""

import os
import subprocess
from pathlib import Path

from stages.sweeps.launcher import PARENT, command, free


def test_a_trial_ends_with_a_process_that_is_gone_before_it_starts(tmp_path: Path) -> None:
    folder = tmp_path / "a sweep's"
    (folder / "trials" / "003").mkdir(parents=True)
    [shell, option, line] = command(folder, 3, tmp_path, tmp_path, prepare=True)
    shown = line.replace("exec ", "exec echo ", 1)
    for environment, parent in (({}, str(os.getpid())), ({PARENT: "77"}, "77")):
        subprocess.run([shell, option, shown], env={**os.environ, **environment}, check=True)
        said = (folder / "trials" / "003" / "runner.txt").read_text().splitlines()[-1]
        assert said.endswith(f"--prepare --attached {parent}") and f" {folder} 3 " in said


def test_the_first_slot_that_is_free() -> None:
    assert [free(3, used) for used in ([], [0], [1, 0])] == [0, 1, 2]
