"""`make pin`: look up the newest revisions on the Hub and write them into params.yaml."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated

import typer
from pydantic import BaseModel, ConfigDict, ValidationError
from ruamel.yaml import YAML

from stages.config.fields import HubId
from stages.config.params import NOT_YAML, PARAMS, describe
from stages.config.plain import in_a_line
from stages.config.schema import Branch
from stages.runtime.errors import UserError
from stages.runtime.files import atomic_write

LookUp = Callable[[str, str, str | None], str]
"""(repo, "dataset" or "model", branch or None) → the newest commit, 40 hexadecimal digits; raises `UserError`."""


class Place(BaseModel):
    """The part of an entry that is validated before the Hub is asked."""

    model_config = ConfigDict(strict=True)

    repo: HubId
    branch: Branch | None = None


def main(names: Annotated[list[str] | None, typer.Argument(metavar="NAME", hidden=True)] = None) -> None:
    """Write the newest revisions on the Hub into params.yaml; review them with `git diff`.

    NAME is an entry of `models`, `datasets` or `evaluation.sets`. Without one, all entries that have a `repo` are pinned,
    whatever the profile and architecture, so that you can switch these without pinning again.

    \b
    nordic-sparse pin ddsc norbert3-base
    """
    for line in pin(PARAMS, names or (), look_up):
        print(line)


def pin(path: Path, names: Sequence[str], look_up: LookUp) -> Iterator[str]:
    """Write the revision of each Hub entry of ``path``, or of those in ``names``, and yield a line for each that changed.

    An entry that cannot be looked up keeps its revision; the others are written anyway.

    Raises:
        UserError: a name is unknown, the file cannot be read, or some entries could not be looked up (one line each).
    """
    yaml = YAML()  # dvc writes the file with the same settings, so neither reformats what the other wrote
    yaml.default_flow_style = False
    try:
        text = path.read_text(encoding="utf-8")
        YAML(typ="safe", pure=True).load(text)  # as `read_yaml` reads it: custom tags are an error
        values = yaml.load(text)
        tables = {"models": values.get("models"), "datasets": values.get("datasets"), "evaluation.sets": values["evaluation"]["sets"]}
        entries = [(table, name, entry, entry.get("repo")) for table, some in tables.items() for name, entry in (some or {}).items()]
    except (OSError, *NOT_YAML) as error:
        raise UserError(f"{path}: cannot be read ({in_a_line(error)}); correct it, or restore it with `git checkout {path}`") from error
    if unknown := sorted(set(names) - {name for _, name, _, _ in entries}):
        known = ", ".join(name for _, name, _, repo in entries if repo)
        raise UserError(f"{path}: no model, data set or evaluation set is named {', '.join(unknown)}; use {known}")
    changes, failures = [], []
    for table, name, entry, repo in entries:
        if not repo or (names and name not in names):
            continue
        try:
            place = Place.model_validate(dict(entry))
            newest = look_up(place.repo, "model" if table == "models" else "dataset", place.branch)
        except ValidationError as error:
            failures += [f"{path}: {describe(detail, (table, str(name)))}" for detail in error.errors()]
        except UserError as error:
            failures.append(f"{table}.{name}: {error}")
        else:
            if entry.get("revision") != newest:
                changes.append(f"{name} ({repo}): {entry.get('revision') or 'unset'} → {newest}")
                entry["revision"] = newest
    if changes:
        with atomic_write(path) as temporary:
            with temporary.open("w", encoding="utf-8") as file:
                yaml.dump(values, file)
            if YAML(typ="safe", pure=True).load(temporary.read_text(encoding="utf-8")) != values:
                raise UserError(f"{path}: would not read back as written, so it is left unchanged; write the revisions by hand")
    yield from changes or ([] if failures else ["every revision is the newest"])
    if failures:
        raise UserError("\n".join(failures))


def look_up(repo: str, repo_type: str, branch: str | None) -> str:
    """The newest commit of a branch (None: main) of a Hub repository.

    Raises:
        UserError: the branch does not exist, or the Hub cannot be reached.
    """
    import httpx2
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    from stages.hub.repository import require_addresses, usable_token
    from stages.hub.retries import reason

    require_addresses()
    usable_token()
    try:
        return str(HfApi().repo_info(repo, repo_type=repo_type, revision=branch).sha)
    except (HfHubHTTPError, httpx2.HTTPError, OSError) as error:
        raise UserError(f"the Hub did not name the newest revision of {repo} ({reason(error)}); check the name and the network") from error
