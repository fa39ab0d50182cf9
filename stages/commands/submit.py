"""From metrics/mteb to a commit in a copy of MTEB's results repository, under the model's name and commit on the Hub.

The evaluate stage runs before the push, so that it cannot know the commit, and mteb's leaderboard shows a model only by its revision.
"""

import json
import subprocess
from pathlib import Path
from typing import Annotated

import typer

from stages.config.params import load_resolved
from stages.config.settings import PushSettings
from stages.runtime.errors import UserError

RESULTS, FINAL, RECEIPT = Path("metrics/mteb"), Path("models/final"), Path("metrics/push.json")
ENTRY = "registry_entry.py"
NEXT = """\
{count} results of {name} are committed in {path}. To open the pull request:

  cd {path}
  gh repo fork --remote --remote-name fork --clone=false
  git push fork HEAD
  gh pr create --base main

Check model_meta.json first. mteb also wants the model in its registry, by a pull request of its own; the entry is in {entry}.
"""


def main(
    folder: Annotated[Path, typer.Option(metavar="FOLDER", help="Where mteb's results repository is cloned to.")] = Path("mteb-results"),
) -> None:
    """Commit the MTEB results of the pushed model to a copy of mteb's results repository, and say how to open the pull request.

    Needs the network, and disk space for that repository. Nothing is uploaded.
    """
    if not (RESULTS / "results").is_dir():
        raise UserError(f"{RESULTS}: has no results; name tasks or a benchmark in evaluation.mteb and run `dvc repro`")
    receipt = json.loads(RECEIPT.read_text(encoding="utf-8")) if RECEIPT.exists() else {}
    if not receipt.get("commit"):
        raise UserError(f"{RECEIPT}: names no pushed model; set hub.push and hub.model_id, and run `dvc repro`")

    from stages.hub.publish import fingerprint
    from stages.retrieval.treatment import Treatment

    settings = load_resolved("push", PushSettings)
    if receipt["fingerprint"] != fingerprint(FINAL, Treatment.pruned(FINAL, settings.pruning).files()):
        raise UserError(f"{RECEIPT}: {receipt['repo_id']} has another model than {FINAL}; push this one with `dvc repro`")

    import mteb

    from stages.evaluate.mteb_results import rename

    meta = rename(RESULTS, folder, receipt["repo_id"], receipt["commit"], public=not settings.private)
    try:
        done = mteb.ResultCache(folder).submit_results(meta)
    except (RuntimeError, ValueError, OSError, subprocess.CalledProcessError) as error:
        raise UserError(
            f"submit: mteb's results repository in {folder}/remote is not usable ({error}); remove that folder, try again"
        ) from error
    if done["status"] == "no_changes":
        print("MTEB has these results already.")
        return
    (entry := folder / ENTRY).write_text(meta.to_python(), encoding="utf-8")
    print(NEXT.format(count=done["result_count"], name=meta.name, path=done["path"], entry=entry))
