"""Which code a run was made with."""

import os
import subprocess
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

GENERATED = (":(exclude)resolved", ":(exclude)metrics", ":(exclude)dvc.lock")  # tracked files that the pipeline itself rewrites


def git_state(folder: Path = Path()) -> dict[str, str]:
    """`{"git_commit": 40 hexadecimal digits, "git_dirty": "true" or "false"}` of the repository around ``folder``.

    Untracked and `GENERATED` files do not make it dirty. Empty if there is no commit, or git is missing or does not answer.
    """
    # A new index, without file times: the one that dvc writes in its temporary workspaces pairs the times of changed files with the old
    # contents, and git believes it. It also keeps us away from index.lock.
    with TemporaryDirectory() as temporary:
        git = partial(
            subprocess.run, cwd=folder, env=os.environ | {"GIT_INDEX_FILE": f"{temporary}/index"},
            check=True, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=10,
        )  # fmt: skip
        try:
            commit = git(["git", "rev-parse", "--verify", "HEAD"]).stdout.strip()
            git(["git", "read-tree", "HEAD"])
            changes = git(["git", "status", "--porcelain", "--untracked-files=no", "--", ":/", *GENERATED]).stdout
        except (OSError, subprocess.SubprocessError):
            return {}
    return {"git_commit": commit, "git_dirty": "true" if changes else "false"}
