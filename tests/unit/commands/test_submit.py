"""`nordic-sparse submit`, with a bare repository on disk in the place of mteb's results repository."""

import json
import subprocess
from pathlib import Path

import pytest
from ruamel.yaml import YAML
from sentence_transformers import SparseEncoder

from stages.commands import submit
from stages.config.settings import PushSettings
from stages.evaluate.mteb_results import model_meta
from stages.evaluate.mteb_tasks import evaluate_mteb
from stages.hub.publish import fingerprint
from stages.retrieval.treatment import Treatment
from tests.refused import refused

COMMIT = "5" * 40


def git(*arguments: str, folder: Path) -> str:
    return subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def pushed(splade: SparseEncoder, swedn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_network: None) -> Path:
    """A folder with a pushed model, its results, and git that finds mteb's results repository in ``results.git``."""
    monkeypatch.chdir(tmp_path)
    splade.save_pretrained(str(submit.FINAL), create_model_card=False)  # the card would ask the Hub for the base
    evaluate_mteb(splade, "SwednRetrieval", swedn, meta=model_meta(splade, "4fb1040c1d2d26f2"), results=submit.RESULTS)
    submit.RECEIPT.write_text(json.dumps({"repo_id": "me/a-model", "commit": COMMIT, "fingerprint": fingerprint(submit.FINAL)}))
    settings = PushSettings(push=True, model_id="me/a-model", private=False, license=None, architecture="splade", languages=[], datasets={})
    Path("resolved").mkdir()
    YAML().dump(settings.model_dump(), Path("resolved/push.yaml"))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    instead = f"url.file://{tmp_path}/results.git.insteadOf"
    values = {instead: "https://github.com/embeddings-benchmark/results", "user.name": "me", "user.email": "me@example.org"}
    for key, value in values.items():
        git("config", "--global", key, value, folder=tmp_path)
    return tmp_path


def test_results_are_committed_under_the_published_name_and_commit_and_only_once(pushed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    git("init", "-q", "-b", "main", "made", folder=pushed)
    git("commit", "-q", "--allow-empty", "-m", "start", folder=pushed / "made")
    git("clone", "-q", "--bare", "made", "results.git", folder=pushed)
    submit.main(Path("mteb-results"))
    clone = pushed / "mteb-results/remote"
    names = ("SwednRetrieval.json", "model_meta.json", "run_settings.jsonl")
    expected = {f"results/me__a-model/{COMMIT}/{name}" for name in names}
    assert {*git("diff", "--name-only", "origin/main", "HEAD", folder=clone).split()} == expected
    about = json.loads(git("show", f"HEAD:results/me__a-model/{COMMIT}/model_meta.json", folder=clone))
    assert (about["name"], about["revision"], about["open_weights"]) == ("me/a-model", COMMIT, True)
    printed = capsys.readouterr().out
    assert all(part in printed for part in ("1 results of me/a-model", "mteb-results/remote", "git push fork HEAD"))
    assert "name='me/a-model'" in (pushed / "mteb-results/registry_entry.py").read_text()
    git("push", "-q", "origin", "HEAD:main", folder=clone)  # the pull request is merged
    submit.main(Path("mteb-results"))
    assert "already" in capsys.readouterr().out


def test_a_model_pushed_with_pruning_is_the_one_in_the_folder(pushed: Path) -> None:
    settings = YAML().load(Path("resolved/push.yaml")) | {"pruning": {"max_document_dims": 8}}
    YAML().dump(settings, Path("resolved/push.yaml"))
    published = fingerprint(submit.FINAL, Treatment(max_document_dims=8).files())
    submit.RECEIPT.write_text(json.dumps({"repo_id": "me/a-model", "commit": COMMIT, "fingerprint": published}))
    with refused("submit", "mteb-results/remote"):  # the repository, not another model
        submit.main(Path("mteb-results"))


def test_without_the_repository_it_is_one_line(pushed: Path) -> None:
    with refused("submit", "mteb-results/remote"):
        submit.main(Path("mteb-results"))


def test_what_is_missing_is_named(pushed: Path) -> None:
    (submit.FINAL / "config_sentence_transformers.json").write_text("{}")
    with refused("metrics/push.json", "another model", "`dvc repro`"):
        submit.main()
    submit.RECEIPT.write_text(json.dumps({"repo_id": None, "commit": None, "fingerprint": None}))
    with refused("metrics/push.json", "hub.push"):
        submit.main()
    (submit.RESULTS / "results").rename(pushed / "elsewhere")
    with refused("metrics/mteb", "evaluation.mteb"):
        submit.main()
