"""Carry code and DVC experiments between repositories that cannot reach each other: git bundles, and files of DVC's cache."""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from stages.runtime.errors import UserError
from stages.runtime.files import atomic_write
from stages.sweeps.clone import run_git


def bundle_code(repository: Path, refs: Sequence[str], target: Path) -> None:
    """Write what some refs name, with its history, as a bundle for `unbundle_code`."""
    run_git(repository, "bundle", "create", "--quiet", str(target.absolute()), *refs)


def unbundle_code(bundle: Path, repository: Path) -> Path:
    """Add a bundle's refs to ``repository``, which is made, bare, if it is missing; return it."""
    if not repository.exists():
        with atomic_write(repository) as temporary:
            temporary.mkdir()
            run_git(temporary, "init", "--quiet", "--bare")
    run_git(repository, "fetch", "--quiet", str(bundle.absolute()), "+refs/*:refs/*")
    return repository


def bundle_experiments(repository: Path, name: str, target: Path) -> None:
    """Write the DVC experiments of this name as a bundle for a repository that has the commits they started from."""
    refs = run_git(repository, "for-each-ref", "--format=%(refname)", f"refs/exps/*/*/{name}").split()  # refs/exps/<2 digits>/<38>/<name>
    if not refs:
        raise UserError(f"{repository}: has no experiment {name}")
    bases = [ref.removeprefix("refs/exps/").replace("/", "", 1).split("/")[0] for ref in refs]
    with atomic_write(target) as temporary:
        run_git(repository, "bundle", "create", "--quiet", str(temporary.absolute()), *refs, "--not", *bases)


def unbundle_experiments(bundle: Path, repository: Path) -> dict[str, str]:
    """Add a bundle's experiments to ``repository`` and return their refs with their commits. One of the same name is replaced.

    Raises:
        UserError: ``repository`` does not have the commit that they started from.
    """
    try:
        run_git(repository, "fetch", "--quiet", str(bundle.absolute()), "+refs/exps/*:refs/exps/*")
    except UserError as error:
        raise UserError(
            f"{repository.resolve()}: lacks the commit that the experiment started from; fetch its branch first ({error})"
        ) from error
    heads = run_git(repository, "bundle", "list-heads", str(bundle.absolute())).splitlines()
    return {ref: commit for commit, ref in (line.split() for line in heads)}


def fetch_outputs(commit: str, repository: Path, cache: Path, read: Callable[[str], Iterable[bytes]]) -> int:
    """Complete DVC's cache in the folder ``cache`` for an experiment's commit; the number of files fetched.

    Args:
        read: gives the content of a file of the other cache by its path, such as ``files/md5/4f/0c…``, or raises FileNotFoundError: git has
            the outputs that DVC does not cache.

    Raises:
        UserError: a file came with other content than its name says.
    """
    lock = YAML(typ="safe").load(run_git(repository, "show", f"{commit}:dvc.lock"))
    fetched = 0
    for digest in sorted(set(outputs(lock))):
        fetched += fetch_object(digest, cache, read)
        listing = place(cache, digest)
        if digest.endswith(".dir") and listing.exists():
            for entry in json.loads(listing.read_text(encoding="utf-8")):
                fetched += fetch_object(entry["md5"], cache, read)
    return fetched


def outputs(lock: Any) -> Iterator[str]:
    """The md5 of every output in a dvc.lock; that of a folder ends with .dir."""
    for stage in lock["stages"].values():
        yield from (out["md5"] for out in stage.get("outs", ()) if "md5" in out)


def place(cache: Path, digest: str) -> Path:
    """Where DVC 3 keeps an object."""
    return cache / "files" / "md5" / digest[:2] / digest[2:]


def fetch_object(digest: str, cache: Path, read: Callable[[str], Iterable[bytes]]) -> bool:
    """Fetch an object unless ``cache`` has it; whether it was fetched."""
    target, content = place(cache, digest), hashlib.md5(usedforsecurity=False)
    if target.exists():
        return False
    with suppress(FileNotFoundError), atomic_write(target) as temporary:
        with temporary.open("wb") as file:
            for chunk in read(place(Path(), digest).as_posix()):
                content.update(chunk)
                file.write(chunk)
        if content.hexdigest() != digest.removesuffix(".dir"):
            raise UserError(f"{digest}: arrived with other content; run the command again")
        temporary.chmod(0o444)  # as DVC does
        return True
    return False
