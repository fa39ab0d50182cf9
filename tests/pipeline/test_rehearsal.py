"""The README's recipe for the profiles that need the Hub, from a fresh clone to a pushed model, on a loopback Hub.

The Hub holds a small version of every repository, with the layouts and traps of the real ones (tests/fakes/repositories). The test is
slow. It prints two tables: the seconds of each run, and how many rows of each set were read and kept.
"""

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.fakes.hub_server import LoopbackHub
from tests.fakes.repositories import add_repositories
from tests.fakes.repositories.evaluation_sets import NANO, TASKS
from tests.fakes.repositories.training_sets import TRAINING_SETS
from tests.pipeline.conftest import Workspace, make_workspace

PUSHED = "me/nordic-rehearsal"
SMALL = ["training.max_steps=4", "training.logging_steps=2", "training.save_steps=4", "training.bf16=false", "training.fp16=false"]
MINED = ["mining.method=model", "mining.model=norbert4-embedding", "mining.datasets=[ddsc]"]
PINNED = re.compile(r"/api/(models|datasets)/[^/]+/[^/]+/tree/[0-9a-f]{40}|/(datasets/)?[^/]+/[^/]+/resolve/[0-9a-f]{40}/.+")
"""Requests of downloads: the list of files at a commit, and a file at a commit."""
MODEL_STAGES = {"resolve", "train", "evaluate", "push"}
"""What another architecture on the same base runs."""


class Rehearsal:
    """A fresh clone, a Hub that can be out of reach, how long each command took, and what became of each row."""

    def __init__(self, workspace: Workspace, hub: LoopbackHub, home: Path) -> None:
        self.workspace, self.hub, self.home = workspace, hub, home
        self.seconds: dict[str, float] = {}
        self.rows: dict[str, Any] = {}

    def run(self, title: str, *command: str, online: bool) -> str:
        """Run a command and return its output; without the Hub nothing listens where it was."""
        environment = {**self.hub.environment(self.home), **({} if online else {"HF_ENDPOINT": "http://127.0.0.1:9"})}
        self.hub.log.clear()
        start = time.monotonic()
        output = self.workspace.run(*command, **environment)
        self.seconds[f"{title}, Hub {'on' if online else 'off'}"] = time.monotonic() - start
        assert "Traceback" not in output
        return output

    def experiment(self, profile: str, architecture: str, *settings: str, online: bool) -> set[str]:
        """`dvc exp run` of one pair; check its results and its requests, and return the stages that ran."""
        values = [f"profile={profile}", f"architecture={architecture}", *settings]
        chosen = [argument for value in values for argument in ("-S", value)]
        output = self.run(f"{profile} {architecture}", "dvc", "exp", "run", *chosen, online=online)
        assert [path for _, path in self.hub.requests if not PINNED.fullmatch(path)] == []
        self.check_data({*TRAINING_SETS} - {"esci"} if profile == "nordic" else {"esci"})
        nordic = [f"nanobeir-{subset}/{name}" for subset in ("no", "sv") for name, _ in NANO.values()]
        self.check_scores({*nordic, *TASKS} if profile == "nordic" else {*NANO, "esci"})
        return self.workspace.stages_run(output)

    def check_data(self, sets: set[str]) -> None:
        """Each training set was used, with the rows that it should have, and none of evaluation."""
        mix, formatted = self.metrics("mix"), self.metrics("data")
        assert set(mix["sources"]) == set(formatted) == sets
        assert all(source["used"] for source in mix["sources"].values())
        assert mix["evaluation"]["in_training"] == 0
        for name in sets:
            kept = TRAINING_SETS[name]().kept
            expected = sum(rows for split in kept.values() for rows in split.values())
            assert formatted[name]["train"]["kept"] + formatted[name]["dev"]["kept"] == expected
        self.rows |= formatted

    def check_scores(self, sets: set[str]) -> None:
        """Each evaluation set has a score next to BM25's."""
        scores = self.metrics("evaluation")
        assert set(scores) - {"mean", "NanoBEIR_mean_dot_ndcg@10"} == sets
        assert all(0 <= scores[name]["ndcg@10"] <= 1 and 0 < scores[name]["bm25_ndcg@10"] <= 1 for name in sets)

    def metrics(self, name: str) -> Any:
        return json.loads((self.workspace.folder / "metrics" / f"{name}.json").read_text(encoding="utf-8"))

    def tables(self) -> str:
        lines = ["", "| run | seconds |", "|---|---|"]
        lines += [f"| {title} | {seconds:.0f} |" for title, seconds in [*self.seconds.items(), ("all", sum(self.seconds.values()))]]
        lines += ["", "| training set | split | read | kept | dropped |", "|---|---|---|---|---|"]
        for name, splits in self.rows.items():
            for split, counts in splits.items():
                if counts.get("read"):
                    dropped = ", ".join(f"{reason}: {rows}" for reason, rows in counts["dropped"].items())
                    lines.append(f"| {name} | {split} | {counts['read']} | {counts['kept']} | {dropped} |")
        return "\n".join([*lines, ""])


@pytest.fixture
def rehearsal(tmp_path: Path) -> Iterator[Rehearsal]:
    (tmp_path / "clone").mkdir()
    with LoopbackHub(user="me") as hub:
        add_repositories(hub)
        yield Rehearsal(make_workspace(tmp_path / "clone"), hub, tmp_path / "home")


@pytest.mark.slow
def test_from_a_fresh_clone_every_profile_and_architecture_runs_with_one_pin(
    rehearsal: Rehearsal, capsys: pytest.CaptureFixture[str]
) -> None:
    workspace, hub = rehearsal.workspace, rehearsal.hub
    try:
        rehearsal.run("pin", "python", "-m", "stages.commands", "pin", online=True)
        pins = revisions(workspace)
        assert all(re.fullmatch("[0-9a-f]{40}", revision) for revision in pins.values())

        assert rehearsal.experiment("nordic", "splade", *SMALL, online=True) >= MODEL_STAGES | {"download", "format", "mix"}
        assert rehearsal.experiment("nordic", "inference-free-splade", online=False) == MODEL_STAGES
        assert rehearsal.experiment("ecommerce", "splade", online=True) >= MODEL_STAGES | {"download", "format", "mix"}
        assert rehearsal.experiment("ecommerce", "inference-free-splade", online=False) == MODEL_STAGES
        # Back to data that is in dvc's cache; the dense model is both the base and the miner of hard negatives.
        # The miniature base has too few dimensions for 4k latents of its own axes.
        again = rehearsal.experiment("nordic", "csr", *MINED, "model.hidden_dim=512", online=True)
        assert again >= MODEL_STAGES | {"download-model", "mine", "mix"}
        assert not again & {"download", "download-eval", "download-mteb", "format"}
        assert revisions(workspace) == pins

        workspace.edit_params({"hub": {"push": True, "model_id": PUSHED}})
        assert workspace.stages_run(rehearsal.run("push", "dvc", "repro", online=True)) == {"resolve", "push"}
        assert {"README.md", "modules.json", "model.safetensors", "modeling_gptbert.py"} <= set(hub.files("model", PUSHED))
        assert workspace.stages_run(rehearsal.run("second repro", "dvc", "repro", online=False)) <= {"resolve"}
    finally:
        with capsys.disabled():
            print(rehearsal.tables())


def revisions(workspace: Workspace) -> dict[str, Any]:
    """The revision of each entry in params.yaml that names a repository."""
    values = YAML(typ="safe", pure=True).load((workspace.folder / "params.yaml").read_text(encoding="utf-8"))
    entries = {**values["models"], **values["datasets"], **values["evaluation"]["sets"]}
    return {name: entry["revision"] for name, entry in entries.items() if entry.get("repo")}
