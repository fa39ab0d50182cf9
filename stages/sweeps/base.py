"""The commit that every trial of a sweep runs: the checkout as it is when the sweep begins, uncommitted changes too.

An experiment belongs to the commit that is checked out. The changes since then are a commit of their own on top of that, which only
refs/sweeps/<name> points to; trials take its files, so that each experiment holds them and `dvc exp apply` brings them along.
"""

import os
from pathlib import Path
from tempfile import TemporaryDirectory

from stages.runtime.errors import UserError
from stages.sweeps.clone import run_git

LARGEST = 10_000_000
"""Bytes of an untracked file that still goes along; git keeps every file that it gets."""
GENERATED = ("resolved/", "metrics/", "dvc.lock")


def identity(checkout: Path = Path()) -> tuple[str, str]:
    """Name and e-mail address of git's user, for the experiments' commits."""
    found = []
    for key, variable in (("user.name", "GIT_COMMITTER_NAME"), ("user.email", "GIT_COMMITTER_EMAIL")):
        try:
            found.append(os.environ.get(variable) or run_git(checkout, "config", key).strip())
        except UserError as error:
            raise UserError(f"git: {key} is not set, and experiments are commits; run `git config {key} …`") from error
    return found[0], found[1]


def changes(checkout: Path = Path()) -> list[str]:
    """Files that differ from the commit that is checked out, each once, but for those that the pipeline writes."""
    lines = run_git(checkout, "status", "--porcelain", "-z", "--untracked-files=all", "--no-renames").split("\0")
    return [*dict.fromkeys(line[3:] for line in lines if line and not line[3:].startswith(GENERATED))]


def snapshot(name: str, checkout: Path = Path()) -> str:
    """The commit of the checkout's files, in refs/sweeps/<name>; the same commit as before if no file has changed.

    Raises:
        UserError: there is no commit or no identity; an untracked file is too large to go along, or a folder is a repository of its own.
    """
    author, address = identity(checkout)
    try:
        head = run_git(checkout, "rev-parse", "--verify", "--quiet", "HEAD").strip()
    except UserError as error:
        raise UserError("git: this folder has no commit, and experiments belong to one; commit first") from error
    if too_large := large(checkout):
        raise UserError(
            f"{too_large[0]}: is not in git and has more than {LARGEST // 10**6} MB, too much for a sweep to take along; "
            "commit it, move it, or name it in .gitignore"
        )
    reference, tree = f"refs/sweeps/{name}", files(checkout)
    entries = run_git(checkout, "ls-tree", "-r", "-z", tree).split("\0")
    if own := [entry.partition("\t")[2] for entry in entries if entry.startswith("160000 ")]:  # a clone would have an empty folder there
        raise UserError(
            f"{own[0]}: is a git repository of its own, whose files a sweep cannot take along; move it out of the checkout, or copy its "
            "files in without its .git; one that git does not track may be named in .gitignore instead"
        )
    before = run_git(checkout, "for-each-ref", "--format=%(objectname) %(tree) %(parent)", reference).split()
    if before[1:] == [tree, head]:
        return before[0]
    who = {f"GIT_{role}_{what}": value for role in ("AUTHOR", "COMMITTER") for what, value in (("NAME", author), ("EMAIL", address))}
    commit = run_git(checkout, "commit-tree", tree, "-p", head, "-m", f"What the sweep {name} runs", **who).strip()
    run_git(checkout, "update-ref", reference, commit)
    return commit


def files(checkout: Path = Path()) -> str:
    """The tree of the checkout's files as they are, whether git tracks them or not, but for the `large` ones; the user's index stays."""
    with TemporaryDirectory() as temporary:
        index = {"GIT_INDEX_FILE": f"{temporary}/index"}
        run_git(checkout, "read-tree", "HEAD", **index)
        run_git(checkout, "add", "--all", "--", ":/", *(f":(top,exclude,literal){path}" for path in large(checkout)), **index)
        return run_git(checkout, "write-tree", **index).strip()


def large(checkout: Path = Path()) -> list[str]:
    """The untracked files that are too large for git."""
    untracked = run_git(checkout, "ls-files", "-z", "--others", "--exclude-standard").split("\0")
    return [path for path in untracked if path and (checkout / path).is_file() and (checkout / path).stat().st_size > LARGEST]


def replaced(commit: str, experiment: str, checkout: Path = Path()) -> list[str]:
    """Files but for params.yaml whose uncommitted changes since `snapshot`'s ``commit`` would be lost by `dvc exp apply`."""
    now, found = files(checkout), {*changes(checkout)} - {"params.yaml"}
    for side in (commit, experiment):
        found &= {*run_git(checkout, "diff-tree", "-r", "-z", "--name-only", "--diff-filter=ad", side, now).split("\0")}
    return sorted(found)


def differing(commit: str, checkout: Path = Path()) -> list[str]:
    """The files that are not as they were for `snapshot`'s ``commit``, but for sweep files and what the pipeline writes."""
    own = [f":!{name.rstrip('/')}" for name in (*GENERATED, "sweeps")]
    names = run_git(checkout, "diff-tree", "-r", "-z", "--name-only", commit, files(checkout), "--", ":/", *own)
    return names.split("\0")[:-1]
