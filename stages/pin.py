"""`make pin`: look up the newest revisions on the Hub and write them into params.yaml, for a person to review with `git diff`.

Pinned are the data sets and evaluation sets that name a repo, and the base model that the profile and architecture in params.yaml choose
(`model.revision`), and the models that `mining` names. Give names to pin only those: `python -m stages.pin ddsc nanobeir-en model`.
"""

import re
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from stages.errors import UserError, run_stage
from stages.files import atomic_write
from stages.params import PARAMS, fill_nulls, preset_values

MINING = {"miner": ("model", "revision"), "cross-encoder": ("cross_encoder", "cross_encoder_revision")}
"""Names of the models under ``mining``: the key of each and the key of its revision."""


def main(names: Sequence[str]) -> None:
    for line in pin(PARAMS, names, look_up):
        print(line)


def pin(path: Path, names: Sequence[str], look_up: Callable[[str, str, str | None], str]) -> Iterator[str]:
    """Write the revision of each named (or every) Hub entry of ``path`` and yield a line for each that changed.

    Args:
        look_up: (repo, "dataset" or "model", branch or None) → the newest commit, 40 hexadecimal digits.
    """
    text = path.read_text(encoding="utf-8")
    values = YAML().load(text)
    entries = {**values["datasets"], **values["evaluation"]["sets"]}
    unknown = sorted(set(names) - {*entries, "model", *MINING})
    if unknown:
        raise UserError(f"{path}: no data set or evaluation set is named {', '.join(unknown)}; use {', '.join(entries)} or model")
    wanted = [(name, entry, "revision", entry["repo"], "dataset") for name, entry in entries.items() if entry.get("repo")]
    if base := _base_model(values):
        wanted.append(("model", values["model"], "revision", base, "model"))
    mining = values.get("mining") or {}
    wanted += [(name, mining, key, mining[model], "model") for name, (model, key) in MINING.items() if _on_hub(mining.get(model))]
    lines = text.splitlines(keepends=True)
    changes = []
    for name, entry, key, repo, repo_type in wanted:
        if names and name not in names:
            continue
        if key not in entry:
            raise UserError(f"{path}: {name} has no key {key}; add {key}: null to it")
        newest = look_up(repo, repo_type, entry.get("branch"))
        if entry[key] != newest:
            changes.append(f"{name} ({repo}): {entry[key] or 'unset'} → {newest}")
            _replace(lines, entry.lc.value(key), newest)
    with atomic_write(path) as temporary:
        temporary.write_text("".join(lines), encoding="utf-8")
    yield from changes or ["everything is at its newest revision"]


def _replace(lines: list[str], place: tuple[int, int], value: str) -> None:
    """Put ``value`` where one stands: in place, so that comments and alignment stay and the diff shows nothing else."""
    line, column = place
    before, rest = lines[line][:column], lines[line][column:]
    lines[line] = before + re.sub(r"^[^\s,}]*", value, rest)


def look_up(repo: str, repo_type: str, branch: str | None) -> str:
    """The newest commit of a Hub repository's branch (None: main).

    Raises:
        UserError: it does not exist, or the Hub cannot be reached.
    """
    import httpx2
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    try:
        return str(HfApi().repo_info(repo, repo_type=repo_type, revision=branch).sha)
    except (HfHubHTTPError, httpx2.HTTPError, OSError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UserError(f"{repo}: the Hub did not name its newest revision ({reason}); check the name and the network") from error


def _base_model(values: dict[str, Any]) -> str | None:
    """The Hub id of the base model that params.yaml's profile and architecture choose, or None."""
    presets = preset_values(values.get("presets") or {}, values.get("profile"), values.get("architecture"))
    base = fill_nulls(values, presets)["model"].get("base_model")
    return base if base != "made" and _on_hub(base) else None


def _on_hub(model: str | None) -> bool:
    return bool(model) and not Path(str(model)).is_dir()


if __name__ == "__main__":
    run_stage(lambda: main(sys.argv[1:]))
