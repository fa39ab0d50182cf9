"""Which code a run was made with."""

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory


def git_state(folder: Path = Path(), generated: Sequence[str] = ()) -> dict[str, str]:
    """`{"git_commit": forty hexadecimal digits, "git_dirty": "true" or "false"}` of the repository around ``folder``.

    Untracked files do not make it dirty, nor do changes below ``generated``: paths, relative to ``folder``, of tracked
    files that the pipeline itself rewrites while it runs. Empty outside a repository, before its first commit, and
    where git is missing or does not answer.
    """
    try:
        commit = _git(folder, "rev-parse", "--verify", "HEAD")
        # An index of our own, with no file times in it: the one that dvc writes in its temporary workspaces pairs the
        # times of changed files with the old contents, and git believes it. It also keeps us away from index.lock.
        with TemporaryDirectory() as temporary:
            index = {"GIT_INDEX_FILE": str(Path(temporary) / "index")}
            _git(folder, "read-tree", "HEAD", **index)
            excluded = [f":(exclude){path}" for path in generated]
            changes = _git(folder, "status", "--porcelain", "--untracked-files=no", "--", ":/", *excluded, **index)
    except (OSError, subprocess.SubprocessError):
        return {}
    return {"git_commit": commit, "git_dirty": "true" if changes else "false"}


def _git(folder: Path, *arguments: str, **environment: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(folder), *arguments],
        env=os.environ | environment,
        check=True,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=10,
    )
    return done.stdout.strip()
