"""The commit that a run was made with."""

import os
import subprocess
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

GENERATED = (":(exclude)resolved", ":(exclude)metrics", ":(exclude)dvc.lock")  # tracked files that the pipeline rewrites


def git_state(folder: Path = Path()) -> dict[str, str]:
    """`{"git_commit": 40 hexadecimal digits, "git_dirty": "true" or "false"}` of the repository around ``folder``.

    Untracked and `GENERATED` files do not make it dirty. Empty if there is no commit, or git is missing or does not answer.
    """
    # Use a new index. The one in dvc's temporary workspaces pairs the new times of changed files with their old contents, so git sees no
    # change. Nor does a new index need index.lock.
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
