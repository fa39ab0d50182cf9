"""`make pin` writes the newest revisions, and nothing else, into params.yaml, whatever its layout."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dvc.utils.hydra import apply_overrides  # what `dvc exp run -S` calls
from dvc.utils.serialize import load_yaml
from ruamel.yaml import YAML

from stages.commands.pin import look_up, pin
from stages.config.params import PARAMS, read_yaml, validated
from stages.runtime.errors import UserError
from tests import ROOT
from tests.fakes.hub_server import LoopbackHub
from tests.refused import names, refused

PINNED = 18
"""Entries of the shipped params.yaml that name a repository."""


@pytest.fixture
def params(tmp_path: Path) -> Path:
    return Path(shutil.copy(ROOT / PARAMS, tmp_path / "params.yaml"))


def newest(repo: str, repo_type: str, branch: str | None) -> str:
    return f"{abs(hash((repo, repo_type, branch))):040x}"[:40]


def plain(path: Path) -> dict[str, Any]:
    values: dict[str, Any] = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    return values


def changed_lines(before: str, after: str) -> list[tuple[str, str]]:
    pairs = zip(before.splitlines(), after.splitlines(), strict=True)
    return [(old, new) for old, new in pairs if old != new]


def test_every_hub_entry_is_pinned_and_nothing_else_changes(params: Path) -> None:
    before = params.read_text(encoding="utf-8")
    lines = list(pin(params, [], newest))
    changed = changed_lines(before, params.read_text(encoding="utf-8"))
    assert len(changed) == len(lines) == PINNED
    assert all(old.strip() == "revision:" and new.startswith(f"{old} ") for old, new in changed)
    values = plain(params)
    assert values["datasets"]["norquad"]["revision"] == newest("ltg/norquad", "dataset", None)
    assert values["datasets"]["scandiqa"]["revision"] == newest("alexandrainst/scandi-qa", "dataset", "refs/convert/parquet")
    assert values["models"]["norbert3-base"]["revision"] == newest("ltg/norbert3-base", "model", "refs/pr/5")


@pytest.mark.parametrize("profile", ["sample", "nordic", "ecommerce"])
@pytest.mark.parametrize("architecture", ["splade", "inference-free-splade", "csr"])
def test_one_pin_serves_every_profile_and_architecture(params: Path, profile: str, architecture: str) -> None:
    from stages.resolve.checks import check

    list(pin(params, [], newest))
    apply_overrides(str(params), [f"profile={profile}", f"architecture={architecture}"])
    if (profile, architecture) == ("ecommerce", "csr"):
        with refused("model.base_model", "no value"):
            validated(read_yaml(params))
        return
    assert not list(check(validated(read_yaml(params)), {}))


def test_a_second_pin_changes_nothing(params: Path) -> None:
    list(pin(params, [], newest))
    before = params.read_bytes()
    assert list(pin(params, [], newest)) == ["every revision is the newest"]
    assert params.read_bytes() == before


LAYOUTS = {
    "flow": """\
models: {m: {repo: a/m, branch: refs/pr/5, revision: null}}
datasets: {d: {kind: pairs, repo: a/d, revision: null}, e: {kind: pairs, repo: a/e, revision: null, languages: [da, no]}}
evaluation: {sets: {}}
""",
    "flow without the key": """\
models: {m: {repo: a/m}}
datasets: {d: {repo: a/d}, e: {repo: a/e}}
evaluation: {sets: {}}
""",
    "block with comments": """\
# about
models:
  m:  # mine
    repo: a/m
    revision: # none yet
    # more
datasets:
  d:
    repo: a/d
    revision: ~
  e: {repo: a/e, revision: }
evaluation:
  sets:
""",
    "pinned before": """\
models: {m: {repo: a/m, revision: 0000000000000000000000000000000000000001}}
datasets:
  d:
    repo: a/d
    revision: '1111111111111111111111111111111111111111'
  e:
    repo: a/e
    revision: 2222222222222222222222222222222222222e22
evaluation: {sets: {}}
""",
    "anchors": """\
models: {m: {repo: a/m}}
datasets:
  d: &d
    kind: pairs
    repo: a/d
  e:
    <<: *d
    repo: a/e
evaluation: {sets: {}}
""",
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("digits", ["7c98{}", "1234{}", "12e4{}", "0000{}"])
def test_a_file_of_any_layout_is_pinned_and_stays_the_same_otherwise(tmp_path: Path, layout: str, digits: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_bytes(LAYOUTS[layout].replace("\n", "\r\n" if digits == "0000{}" else "\n").encode())
    before = plain(path)
    revisions = {repo: digits.format(f"{number:036d}") for number, repo in enumerate(["a/m", "a/d", "a/e"])}
    assert len(list(pin(path, [], lambda repo, repo_type, branch: revisions[repo]))) == 3
    after = plain(path)
    assert [entry["revision"] for entry in (after["models"]["m"], *after["datasets"].values())] == list(revisions.values())
    for table in ("models", "datasets"):
        for name, entry in before[table].items():
            assert {**after[table][name], "revision": None} == {**entry, "revision": None}
    assert load_yaml(str(path)), "dvc reads it too"
    assert path.read_text(encoding="utf-8").count("#") == LAYOUTS[layout].count("#")


def test_params_yaml_is_in_the_form_that_dvc_writes(params: Path) -> None:
    before = params.read_text(encoding="utf-8")
    apply_overrides(str(params), ["profile=nordic"])
    assert changed_lines(before, params.read_text(encoding="utf-8")) == [
        (line, line.replace("sample ", "nordic ", 1)) for line in before.splitlines() if line.startswith("profile:")
    ]
    apply_overrides(str(params), ["profile=sample"])
    assert params.read_text(encoding="utf-8") == before
    apply_overrides(str(params), ["training.eval_steps=100", "training.learning_rate=null", "evaluation.sets.sample.profile=none"])
    assert [new.split("#")[0].strip() for _, new in changed_lines(before, params.read_text(encoding="utf-8"))] == [
        "eval_steps: 100",
        "profile: none",
    ]


def test_a_file_that_dvc_rewrote_is_pinned_and_one_that_was_pinned_is_rewritten(params: Path) -> None:
    before = params.read_text(encoding="utf-8")
    apply_overrides(str(params), ["profile=nordic", "architecture=csr"])
    list(pin(params, [], newest))
    apply_overrides(str(params), ["profile=sample", "architecture=splade"])
    assert len(changed_lines(before, params.read_text(encoding="utf-8"))) == PINNED
    assert validated(read_yaml(params)).datasets["nli"].revision == newest("Fremtind/all-nli-norwegian", "dataset", None)


def test_only_the_named_entries_are_pinned(params: Path) -> None:
    lines = [line.split(" ")[0] for line in pin(params, ["ddsc", "norbert3-base", "nanobeir-en"], newest)]
    assert lines == ["norbert3-base", "ddsc", "nanobeir-en"]


def test_an_unknown_name_is_a_one_line_error(params: Path) -> None:
    with refused("nonsense", "norbert3-base"):
        list(pin(params, ["nonsense"], newest))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "models: [",
        "datasets: 3\nevaluation: {sets: {}}",
        "just words",
        "models: {a: 3}",
        "datasets: {a: {repo: b/c}}",
        f"seed: {'9' * 5000}",
        "seed: !!int x",
        "models: {a: {repo: b/c}}\nevaluation: {sets: {}}\nseed: !mine 3",
        f"seed: {'[' * 3000}{']' * 3000}",
    ],
)
def test_an_invalid_params_yaml_is_a_one_line_error_and_stays(tmp_path: Path, text: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(text)
    with refused("params.yaml", "cannot be read", "git checkout"):
        list(pin(path, [], newest))
    assert path.read_text() == text


def test_what_cannot_be_looked_up_is_named_and_the_rest_is_pinned(params: Path) -> None:
    def look_up(repo: str, repo_type: str, branch: str | None) -> str:
        if repo in ("ltg/norquad", "distilbert/distilbert-base-uncased"):
            raise UserError(f"{repo} is gone")
        return newest(repo, repo_type, branch)

    lines = []
    with pytest.raises(UserError) as failure:
        for line in pin(params, [], look_up):
            lines.append(line)
    assert str(failure.value).splitlines() == [
        "models.distilbert-base: distilbert/distilbert-base-uncased is gone",
        "datasets.norquad: ltg/norquad is gone",
    ]
    assert len(lines) == PINNED - 2
    assert plain(params)["datasets"]["nli"]["revision"] and not plain(params)["datasets"]["norquad"]["revision"]


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("{repo: 5}", "datasets.d.repo … 5"),
        ("{repo: [a, b]}", "datasets.d.repo … ['a', 'b']"),
        ("{repo: 'https://huggingface.co/a/d'}", "datasets.d.repo … 'https://huggingface.co/a/d' … Hub repository"),
        ("{repo: a/d/}", "datasets.d.repo … 'a/d/' … Hub repository"),
        ("{repo: a/d, branch: 5}", "datasets.d.branch … 5"),
        ("{repo: a/d, branch: [main]}", "datasets.d.branch … ['main']"),
    ],
)
def test_an_entry_that_cannot_be_looked_up_is_a_one_line_error_and_the_rest_is_pinned(tmp_path: Path, entry: str, message: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(f"models: {{m: {{repo: a/m}}}}\ndatasets: {{d: {entry}}}\nevaluation: {{sets: {{}}}}\n")
    lines = []
    with refused("params.yaml", message):
        for line in pin(path, [], newest):
            lines.append(line)
    assert len(lines) == 1
    assert plain(path)["models"]["m"]["revision"] and "revision" not in plain(path)["datasets"]["d"]


@pytest.fixture
def hub() -> Iterator[LoopbackHub]:
    with LoopbackHub() as server:
        yield server


def test_the_revision_is_the_hubs_and_a_silent_hub_is_a_one_line_error(params: Path, hub: LoopbackHub, tmp_path: Path) -> None:
    revision = hub.add_repo("dataset", "ltg/norquad", {"train.parquet": b"rows"})

    def run(name: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "stages.commands", "pin", name],
            cwd=tmp_path,
            env={**os.environ, **hub.environment(tmp_path / "home", token=None), "PYTHONPATH": str(ROOT), **environment},
            capture_output=True,
            text=True,
        )

    assert run("norquad").returncode == 0
    assert plain(params)["datasets"]["norquad"]["revision"] == revision
    refused = run("nli")
    assert refused.returncode == 2
    assert names(refused.stderr, "error: datasets.nli … revision … Fremtind/all-nli-norwegian")
    assert len(run("norquad", HF_ENDPOINT="http://127.0.0.1:9").stderr.splitlines()) == 1


def test_an_impossible_token_is_a_one_line_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_blåbær")
    with refused("HF_TOKEN", "characters"):
        look_up("a/b", "dataset", None)
