"""A download is pinned and complete, or there is none; a failure is a one-line error."""

import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ruamel.yaml import YAML
from transformers import BertConfig, BertForSequenceClassification

from stages.download.__main__ import fetch, main
from stages.download.models import fetch_model
from stages.download.mteb_sources import fetch_mteb
from stages.hub.snapshot import snapshot
from stages.retrieval.sets import load_nanobeir
from stages.retrieval.texts import TEXTS, read_texts
from stages.runtime.errors import UserError
from stages.runtime.files import remove
from tests import ROOT
from tests.fakes.hub_server import LoopbackHub
from tests.fakes.hub_store import read
from tests.fakes.lookalikes.folders import write_folder
from tests.refused import names, refused

REPO = "Fremtind/all-nli-norwegian"


class Stage:
    """`python -m stages.download` in an empty folder, against the loopback Hub."""

    def __init__(self, folder: Path, hub: LoopbackHub) -> None:
        self.folder, self.hub = folder, hub

    def start(self, *arguments: str, resolved: dict[str, Any], token: str | None = None, **environment: str) -> subprocess.Popen[str]:
        name = {"datasets": "download", "evaluation": "download_eval", "mteb": "download_mteb"}.get(arguments[0])
        for path, values in ({f"download_models/{key}": resolved[key] for key in resolved} if name is None else {name: resolved}).items():
            file = self.folder / "resolved" / f"{path}.yaml"
            file.parent.mkdir(parents=True, exist_ok=True)
            YAML().dump(values, file)
        settings = {"PYTHONPATH": str(ROOT), "DOWNLOAD_PATIENCE": "3", **environment}
        return subprocess.Popen(
            [sys.executable, "-m", "stages.download", *arguments],
            cwd=self.folder,
            env={**os.environ, **self.hub.environment(self.folder / "home", token=token), **settings},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __call__(self, *arguments: str, **settings: Any) -> subprocess.CompletedProcess[str]:
        process = self.start(*arguments, **settings)
        stdout, stderr = process.communicate(timeout=300)
        return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)

    def manifest(self, folder: str) -> dict[str, Any]:
        value: dict[str, Any] = json.loads((self.folder / folder / "manifest.json").read_text(encoding="utf-8"))
        return value


@pytest.fixture
def hub() -> Iterator[LoopbackHub]:
    with LoopbackHub() as server:
        yield server


@pytest.fixture
def run(tmp_path: Path, hub: LoopbackHub) -> Stage:
    return Stage(tmp_path, hub)


def origin(**values: Any) -> dict[str, Any]:
    return {"kind": "triplets", "repo": None, "revision": None, "path": None, "sample": None, **values}


def model_origin(repo: str, revision: str, **values: Any) -> dict[str, Any]:
    return {"chosen": True, "key": "models.x", "repo": repo, "revision": revision, "path": None, "trust_remote_code": False, **values}


def one_line(done: subprocess.CompletedProcess[str]) -> str:
    """The error line of a stage that refused."""
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    [line] = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    return line


def test_a_data_set_is_downloaded_at_its_revision_and_not_the_newest(run: Stage, hub: LoopbackHub, tmp_path: Path) -> None:
    old = hub.add_repo("dataset", REPO, {"train.parquet": b"old rows", "README.md": b"about"})
    hub.add_repo("dataset", REPO, {"train.parquet": b"new rows", "README.md": b"about"})
    done = run("datasets", resolved={"nli": origin(repo=REPO, revision=old)})
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "data/raw/nli/train.parquet").read_bytes() == b"old rows"
    assert not list((tmp_path / "data/raw/nli").glob(".*"))
    assert not (tmp_path / ".downloads").exists()


def test_the_manifest_names_the_origin_of_the_files_and_is_reproducible(run: Stage, hub: LoopbackHub, tmp_path: Path) -> None:
    card = b"---\nlicense: CC-BY-NC-4.0\n---\n# NLI\n```bibtex\n@article{nli,\n  title={{N}LI},\n}\n```\n"
    files = {"train.parquet": b"rows", "README.md": card, "dev/rows.jsonl": b"{}", "test.parquet": b"never read", "picture.png": b"big"}
    revision = hub.add_repo("dataset", REPO, files)
    seen = []
    for _ in range(2):
        remove(tmp_path / "checkpoints")  # with it, the second run asks for nothing
        assert run("datasets", resolved={"nli": origin(repo=REPO, revision=revision)}).returncode == 0
        seen.append((tmp_path / "data/raw/nli/manifest.json").read_bytes())
    assert seen[0] == seen[1]
    about = run.manifest("data/raw/nli")
    names = ["README.md", "dev/rows.jsonl", "train.parquet"]
    assert {key: about[key] for key in ("repo", "revision", "kind", "license", "citation")} == {
        "repo": REPO,
        "revision": revision,
        "kind": "triplets",
        "license": "cc-by-nc-4.0",
        "citation": "@article{nli,\n  title={{N}LI},\n}",
    }
    assert about["files"] == [{"path": name, "size": len(files[name]), "sha256": hashlib.sha256(files[name]).hexdigest()} for name in names]
    assert sorted(path for _, path in hub.requests if "/resolve/" in path) == sorted(
        f"/datasets/{REPO}/resolve/{revision}/{name}" for name in 2 * names
    )


def test_a_killed_download_resumes(run: Stage, hub: LoopbackHub, tmp_path: Path) -> None:
    rows = bytes(range(256)) * 1000
    files = {name: rows + name.encode() for name in ("a.parquet", "b.parquet", "c.parquet")}
    resolved = {"nli": origin(repo=REPO, revision=hub.add_repo("dataset", REPO, files))}
    hub.truncate(r"b\.parquet", after=50_000)
    hub.delay(r"b\.parquet", 100)
    process = run.start("datasets", resolved=resolved)
    kill_after(process, hub, "b.parquet", 2)
    assert not (tmp_path / "data/raw/nli").exists()
    assert "another process is downloading" not in run("datasets", resolved=resolved).stderr
    assert {name: (tmp_path / "data/raw/nli" / name).read_bytes() for name in files} == files
    asked = {name: [each.headers.get("range") for each in hub.log if each.path.endswith(name)] for name in files}
    assert asked == {"a.parquet": [None], "b.parquet": [None, "bytes=50000-", "bytes=50000-"], "c.parquet": [None]}
    assert not (tmp_path / ".downloads").exists()


def test_a_download_that_is_killed_repeatedly_is_complete_in_the_end(run: Stage, hub: LoopbackHub, tmp_path: Path) -> None:
    files = {f"{number}.parquet": bytes([number]) * 100_000 for number in range(4)}
    resolved = {"nli": origin(repo=REPO, revision=hub.add_repo("dataset", REPO, files))}
    for number in range(4):
        hub.heal()
        hub.log.clear()
        hub.delay(rf"/{number}\.parquet" if number else "/tree/", 100)
        process = run.start("datasets", resolved=resolved)
        kill_after(process, hub, f"/{number}.parquet" if number else "/tree/", 1)
        assert not (tmp_path / "data/raw/nli").exists()
    hub.heal()
    assert run("datasets", resolved=resolved).returncode == 0
    assert {path.name: path.read_bytes() for path in (tmp_path / "data/raw/nli").glob("*.parquet")} == files


def kill_after(process: subprocess.Popen[str], hub: LoopbackHub, name: str, requests: int) -> None:
    """SIGKILL as soon as the Hub got ``requests`` requests for a path with ``name`` in it."""
    deadline = time.monotonic() + 240
    while len([each for each in hub.log if name in f"{each.path}/"]) < requests:
        assert process.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()


def test_each_kind_downloads_the_files_that_it_reads(run: Stage, hub: LoopbackHub) -> None:
    nano = [f"{folder}/NanoX-00000-of-00001.parquet" for folder in ("corpus", "qrels", "queries")]
    revision = hub.add_repo("dataset", "st/nano", dict.fromkeys([*nano, "bm25/NanoX-00000-of-00001.parquet"], b"rows"))
    done = run("evaluation", resolved={"nano": origin(kind="nanobeir", repo="st/nano", revision=revision)})
    assert done.returncode == 0, done.stderr
    assert [file["path"] for file in run.manifest("data/eval/nano")["files"]] == nano


def test_of_one_repository_training_gets_the_training_files_and_evaluation_those_held_out(run: Stage, hub: LoopbackHub) -> None:
    files = [f"data/{split}-00000-of-00001.parquet" for split in ("train", "test")]
    esci = origin(kind="esci", repo="tasksource/esci", revision=hub.add_repo("dataset", "tasksource/esci", dict.fromkeys(files, b"rows")))
    for stage, folder, file in (("datasets", "raw", files[0]), ("evaluation", "eval", files[1])):
        assert run(stage, resolved={"esci": esci}).returncode == 0
        assert [each["path"] for each in run.manifest(f"data/{folder}/esci")["files"]] == [file]


def test_a_repository_without_a_file_of_the_kind_is_one_line_before_any_download(run: Stage, hub: LoopbackHub) -> None:
    revision = hub.add_repo("dataset", REPO, {"train.csv": b"a,b", "README.md": b"about"})
    line = one_line(run("datasets", resolved={"x": origin(kind="pairs", repo=REPO, revision=revision)}))
    assert names(line, "datasets.x … Fremtind/all-nli-norwegian … no file … pairs … *.parquet")
    assert not [path for _, path in hub.requests if "/resolve/" in path]


def downloads(hub: LoopbackHub) -> list[str]:
    """The names of the requested files, in order."""
    return [path.rpartition("/resolve/")[2].partition("/")[2] for _, path in hub.requests if "/resolve/" in path]


@pytest.fixture
def near_hub(hub: LoopbackHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LoopbackHub:
    """The loopback Hub for downloads in this process, in an empty folder."""
    hub.prepare(monkeypatch, tmp_path / "home")
    monkeypatch.setattr("stages.hub.snapshot.snapshot", partial(snapshot, endpoint=hub.url))
    monkeypatch.chdir(tmp_path)
    return hub


def test_a_base_model_is_downloaded_pinned(near_hub: LoopbackHub, base: Path) -> None:
    files = read(base) | {"modeling_own.py": b"code", "vocab.txt": b"words"}
    others = ["pytorch_model.bin", "onnx/model.onnx", "onnx/config.json", "tf_model.h5", "training_args.pt"]
    revision = near_hub.add_repo("model", "a/base", files | dict.fromkeys(others, b"other"), license="Apache-2.0")
    for trusted in (True, False):
        fetch_model(model_origin("a/base", revision, trust_remote_code=trusted), Path("models/base"), "splade", 32)
        about = json.loads(Path("models/base/manifest.json").read_text())
        names = {file["path"] for file in about["files"]}
        assert names == {*files, "README.md"} - (set() if trusted else {"modeling_own.py"})
        assert (about["kind"], about["license"]) == ("model", "apache-2.0")
    assert Path("models/base/model.safetensors").read_bytes() == files["model.safetensors"]
    assert not Path(".downloads").exists()


@pytest.mark.usefixtures("modules_cache")
@pytest.mark.parametrize("role", ["base", "miner", "dense"])
def test_code_needs_permission_before_the_weights_and_nothing_is_downloaded_twice(near_hub: LoopbackHub, role: str) -> None:
    write_folder(Path("norbert"), "norbert3")
    entry = model_origin("ltg/norbert3-base", near_hub.add_repo("model", "ltg/norbert3-base", Path("norbert"), branch="refs/pr/5"))
    with refused("models.x", "ltg/norbert3-base", "Python code", "trust_remote_code"):
        fetch_model(entry, Path("models") / role, "splade", 32)
    assert "config.json" in downloads(near_hub) and "model.safetensors" not in downloads(near_hub)
    assert not (Path("models") / role).exists()
    fetch_model(entry | {"trust_remote_code": True}, Path("models") / role, "splade", 32)
    names = downloads(near_hub)
    assert len(names) == len(set(names)) and {"model.safetensors", "modeling_norbert.py"} <= {*names}
    assert (Path("models") / role / "model.safetensors").read_bytes() == Path("norbert/model.safetensors").read_bytes()


@pytest.mark.parametrize("local", [True, False])
def test_an_unsuitable_base_is_one_line_and_its_files_are_kept(near_hub: LoopbackHub, base: Path, local: bool) -> None:
    entry = model_origin("a/base", near_hub.add_repo("model", "a/base", base))
    entry |= {"repo": None, "revision": None, "path": str(base)} if local else {}
    with refused("model.max_seq_length", "at most 512", "models.x", "513"):
        fetch_model(entry, Path("models/base"), "splade", 513)
    assert not Path("models/base").exists()
    fetch_model(entry, Path("models/base"), "splade", 512)
    names = downloads(near_hub)
    assert len(names) == len(set(names)) and bool(names) is not local
    assert Path("models/base/model.safetensors").read_bytes() == (base / "model.safetensors").read_bytes()


@pytest.mark.parametrize("architecture", ["splade", "inference-free-splade", "csr"])
def test_a_base_without_a_tokenizer_is_refused_before_its_weights(near_hub: LoopbackHub, base: Path, architecture: str) -> None:
    files = {name: content for name, content in read(base).items() if not name.startswith("tokenizer")}
    with refused("models.x", "a/base", "tokenizer", " 0%"):
        fetch_model(model_origin("a/base", near_hub.add_repo("model", "a/base", files)), Path("models/base"), architecture, 32)
    assert "model.safetensors" not in downloads(near_hub)


@pytest.mark.parametrize("name", ["modules.json", "config.json", "tokenizer_config.json"])
@pytest.mark.parametrize("role", ["base", "miner", "teacher", "dense"])
def test_a_small_file_that_cannot_be_read_is_one_line(near_hub: LoopbackHub, base: Path, role: str, name: str) -> None:
    for content in (b'{"a": ', b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", b"7", b'"text"', b"\xff\xfe"):
        revision = near_hub.add_repo("model", "a/base", read(base) | {name: content})
        with refused("models.x", "a/base", name):
            fetch_model(model_origin("a/base", revision), Path("models") / role, "splade", 32)
    assert "model.safetensors" not in downloads(near_hub)


def test_the_models_of_mining_are_downloaded_like_the_base(near_hub: LoopbackHub, base: Path) -> None:
    BertForSequenceClassification(BertConfig.from_pretrained(base, num_labels=1)).save_pretrained("ce")
    files = read(base) | read(Path("ce"))
    revision = near_hub.add_repo("model", "a/ce", files | {"code.py": b"x"}, license="mit")
    fetch_model({"chosen": False}, Path("models/miner"), "splade", 32)
    assert [path.name for path in Path("models/miner").iterdir()] == ["unused.txt"]
    target = Path("models/teachers/ce")
    fetch_model(model_origin("a/ce", revision), target, role="teacher")  # its own length is what counts
    assert {path.name for path in target.iterdir()} == {*files, "manifest.json", "README.md"}
    with refused("models.x", "no model a/none"):
        fetch_model(model_origin("a/none", revision), target, role="teacher")
    with refused("models.x", "a/headless", "no teacher", "classification head"):
        fetch_model(model_origin("a/headless", near_hub.add_repo("model", "a/headless", base)), target, role="teacher")


def test_every_teacher_has_a_folder_and_only_new_ones_are_downloaded(near_hub: LoopbackHub, base: Path) -> None:
    BertForSequenceClassification(BertConfig.from_pretrained(base, num_labels=1)).save_pretrained("ce")
    files = read(base) | read(Path("ce"))
    origins = {name: model_origin(f"a/{name}", near_hub.add_repo("model", f"a/{name}", files)) for name in ("one", "two")}
    for chosen, asked in (("one",), {"one"}), (("two", "one"), {"two"}), (("two",), set()), ((), set()):
        Path("resolved/download_models").mkdir(parents=True, exist_ok=True)
        YAML().dump({name: origins[name] for name in chosen}, Path("resolved/download_models/teachers.yaml"))
        before = len(downloads(near_hub))
        main(["model", "teachers"])
        assert (len(downloads(near_hub)) > before) is bool(asked)
        folders = {path.name for path in Path("models/teachers").iterdir()}
        assert folders == (set(chosen) or {"unused.txt"})
        assert all((Path("models/teachers") / name / "model.safetensors").is_file() for name in chosen)


@pytest.mark.parametrize(
    ("prepare", "words"),
    [
        (lambda hub: ("nobody/nothing", "0" * 40), "datasets.x … no dataset nobody/nothing"),
        (lambda hub: (REPO, "f" * 40), "datasets.x … Fremtind/all-nli-norwegian … no commit fff"),
        (
            lambda hub: ("a/gated", hub.add_repo("dataset", "a/gated", {"train.parquet": b"rows"}, gated=True)),
            "datasets.x … a/gated is gated … 401 … accept its terms",
        ),
    ],
)
def test_a_refusal_of_the_hub_is_one_line_with_the_remedy(run: Stage, hub: LoopbackHub, tmp_path: Path, prepare: Any, words: str) -> None:
    hub.add_repo("dataset", REPO, {"train.parquet": b"rows"})
    repo, revision = prepare(hub)
    line = one_line(run("datasets", resolved={"x": origin(repo=repo, revision=revision)}))
    assert names(line, words)
    assert not (tmp_path / "data/raw/x").exists()
    assert hub.token not in line


def test_a_base_model_of_pickles_is_refused(run: Stage, hub: LoopbackHub, tmp_path: Path) -> None:
    revision = hub.add_repo("model", "an/old-one", {"config.json": b"{}", "pytorch_model.bin": b"pickle"})
    done = run("model", "base", resolved={"base": model_origin("an/old-one", revision)})
    assert names(one_line(done), "models.x … an/old-one … safetensors")
    assert not (tmp_path / "models/base").exists()


def test_no_network_is_one_line(run: Stage, tmp_path: Path) -> None:
    done = run("datasets", resolved={"x": origin(repo=REPO, revision="0" * 40)}, HF_ENDPOINT="http://127.0.0.1:9")
    assert names(one_line(done), "datasets.x … Fremtind/all-nli-norwegian … not be downloaded")
    assert not (tmp_path / "data/raw/x").exists()


def test_a_retry_prints_one_line_without_the_token(run: Stage, hub: LoopbackHub) -> None:
    revision = hub.add_repo("dataset", REPO, {"train.parquet": b"rows"})
    hub.fail("train.parquet", status=503)
    done = run("datasets", resolved={"x": origin(repo=REPO, revision=revision)}, token=hub.token)
    assert (done.returncode, done.stdout.count("\n")) == (0, 1)
    assert names(done.stderr, "datasets.x … 503 … 0.15 s") and done.stderr.count("\n") == 1


def test_offline_is_one_line(run: Stage) -> None:
    line = one_line(run("datasets", resolved={"x": origin(repo=REPO, revision="0" * 40)}, HF_HUB_OFFLINE="1"))
    assert names(line, "datasets.x … HF_HUB_OFFLINE")


def test_a_local_folder_and_a_local_file_are_copied(run: Stage, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    (folder / "qrels").mkdir(parents=True)
    (folder / "corpus.jsonl").write_text("{}")
    (folder / "qrels" / "test.tsv").write_text("")
    sets = {"folder": origin(path=str(folder)), "file": origin(path=str(folder / "corpus.jsonl"))}
    assert run("datasets", resolved=sets).returncode == 0
    assert (tmp_path / "data/raw/folder/qrels/test.tsv").exists()
    assert (tmp_path / "data/raw/file/corpus.jsonl").read_text() == "{}"
    assert run.manifest("data/raw/file")["files"] == [{"path": "corpus.jsonl", "size": 2, "sha256": hashlib.sha256(b"{}").hexdigest()}]
    assert run.manifest("data/raw/folder")["license"] is None


def test_files_chooses_those_to_fetch_and_keeps_the_card(run: Stage, hub: LoopbackHub, tmp_path: Path) -> None:
    parts = [f"{pair}/train.parquet" for pair in ("en-da", "en-sv")]
    revision = hub.add_repo("dataset", "st/parallel", dict.fromkeys([*parts, "README.md"], b"rows"))
    repo = origin(kind="parallel", repo="st/parallel", revision=revision)
    for part in parts:
        (tmp_path / "mine" / part).parent.mkdir(parents=True)
        (tmp_path / "mine" / part).write_text("rows")
    local = origin(kind="parallel", path=str(tmp_path / "mine"))
    assert run("datasets", resolved={"repo": repo | {"files": ["en-da/*"]}, "local": local | {"files": ["en-da/*"]}}).returncode == 0
    assert [file["path"] for file in run.manifest("data/raw/repo")["files"]] == ["README.md", parts[0]]
    assert [file["path"] for file in run.manifest("data/raw/local")["files"]] == [parts[0]]
    assert names(one_line(run("datasets", resolved={"x": local | {"files": ["da/*"]}})), "datasets.x.files … da/*")


def test_a_local_folder_that_cannot_be_copied_is_one_line(run: Stage, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "train.jsonl").symlink_to(tmp_path / "gone.jsonl")
    line = one_line(run("datasets", resolved={"x": origin(path=str(tmp_path / "mine"))}))
    assert "datasets.x.path" in line and "train.jsonl" in line
    assert names(one_line(run("datasets", resolved={"x": origin(path="nowhere")})), "datasets.x.path … nowhere … exist")


@pytest.fixture
def task_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The texts of a task are the number of its files; how mteb reads them is tested in unit/retrieval."""
    texts = lambda task, folder, languages: [("queries", f"{task}: {len(list(folder.rglob('*.*')))} files")]  # noqa: E731
    monkeypatch.setattr("stages.download.mteb_sources.task_texts", texts)


@pytest.mark.usefixtures("task_texts")
def test_mteb_tasks_are_copied_from_a_local_folder(tmp_path: Path) -> None:
    (tmp_path / "tasks" / "NorQuadRetrieval").mkdir(parents=True)
    (tmp_path / "tasks" / "NorQuadRetrieval" / "test.parquet").write_bytes(b"rows")
    fetch_mteb(["NorQuadRetrieval"], str(tmp_path / "tasks"), tmp_path / "mteb")
    assert (tmp_path / "mteb/NorQuadRetrieval/test.parquet").exists()
    about = json.loads((tmp_path / "mteb/manifest.json").read_text())
    assert [file["path"] for file in about["NorQuadRetrieval"]["files"]] == ["test.parquet"]
    assert read_texts(tmp_path / "mteb" / TEXTS, ["NorQuadRetrieval"])["queries"] == ["NorQuadRetrieval: 1 files"]


def test_an_mteb_task_that_does_not_load_leaves_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def broken(task: str, folder: Path, languages: Sequence[str]) -> None:
        raise UserError(f"{folder}: does not load")

    monkeypatch.setattr("stages.download.mteb_sources.task_texts", broken)
    (tmp_path / "tasks" / "NorQuadRetrieval").mkdir(parents=True)
    with refused("tasks/NorQuadRetrieval", "load"):
        fetch_mteb(["NorQuadRetrieval"], str(tmp_path / "tasks"), tmp_path / "mteb")
    assert not (tmp_path / "mteb").exists()


def nano_task(name: str, languages: Sequence[str]) -> dict[str, bytes]:
    """A repository of mteb's multilingual NanoBEIR: a folder for each language and part, declared in the card."""
    files: dict[str, bytes] = {}
    configs = ""
    for language in languages:
        rows = {
            "corpus": {"id": ["d1", "d2"], "title": ["", ""], "text": [f"{name} {language} en", f"{name} {language} to"]},
            "queries": {"id": ["q1"], "text": [f"{name} {language}?"]},
            "qrels": {"query-id": ["q1"], "corpus-id": ["d2"], "score": [1]},
        }
        for part, columns in rows.items():
            sink = io.BytesIO()
            pq.write_table(pa.table(columns), sink)
            files[f"{language}-{part}/test-00000-of-00001.parquet"] = sink.getvalue()
            configs += f"- config_name: {language}-{part}\n  data_files: [{{split: test, path: {language}-{part}/test-*}}]\n"
    return files | {"README.md": f"---\nlicense: cc-by-4.0\nconfigs:\n{configs}---\n".encode()}


@pytest.fixture
def nano_hub(hub: LoopbackHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LoopbackHub:
    """The loopback Hub with two tasks of a benchmark, in Norwegian, Swedish and German."""
    repos = {f"Multilingual{name}Retrieval": f"mteb/Multilingual{name}Retrieval" for name in ("NanoNQ", "NanoQuora")}
    pinned = {task: (repo, hub.add_repo("dataset", repo, nano_task(task, ["no", "sv", "de"]))) for task, repo in repos.items()}
    for repo in repos.values():
        hub.add_repo("dataset", repo, {"README.md": b"a newer one, without data"})
    monkeypatch.setattr("stages.retrieval.mteb.benchmark_tasks", {"NanoBEIR-multilingual": list(repos)}.__getitem__)
    monkeypatch.setattr("stages.retrieval.mteb.required_datasets", lambda names: {name: pinned[name] for name in names})
    hub.prepare(monkeypatch, tmp_path / "home")
    monkeypatch.setattr("stages.hub.snapshot.snapshot", partial(snapshot, endpoint=hub.url))
    monkeypatch.chdir(tmp_path)
    return hub


def test_a_benchmark_of_many_languages_becomes_one_language_in_nanobeirs_form(nano_hub: LoopbackHub, tmp_path: Path) -> None:
    nano_hub.reset("no-corpus")
    fetch(origin(kind="nanobeir", benchmark="NanoBEIR-multilingual", subset="no"), tmp_path / "eval", "evaluation.sets.x")
    one, other = load_nanobeir(tmp_path / "eval", "nanobeir-no")
    assert (one.name, other.name, one.language) == ("NanoNQ", "NanoQuora", "nb")
    assert one.corpus["d2"] == "MultilingualNanoNQRetrieval no to" and one.qrels == {"q1": {"d2": 1.0}}
    about = json.loads((tmp_path / "eval/manifest.json").read_text())
    assert about["MultilingualNanoNQRetrieval"]["license"] == "cc-by-4.0"
    assert about["MultilingualNanoNQRetrieval"]["revision"] == nano_hub.commits("dataset", "mteb/MultilingualNanoNQRetrieval")[0].oid
    asked = {path.rpartition("/resolve/")[2].partition("/")[2] for _, path in nano_hub.requests if "/resolve/" in path}
    assert asked == {"README.md", *(f"no-{part}/test-00000-of-00001.parquet" for part in ("corpus", "queries", "qrels"))}
    assert not (tmp_path / ".downloads").exists()


def test_a_language_that_a_benchmark_does_not_have_is_one_line_and_leaves_nothing(nano_hub: LoopbackHub, tmp_path: Path) -> None:
    with refused("evaluation.sets.x", "mteb/MultilingualNanoNQRetrieval", "da-corpus"):
        fetch(origin(kind="nanobeir", benchmark="NanoBEIR-multilingual", subset="da"), tmp_path / "eval", "evaluation.sets.x")
    assert not (tmp_path / "eval").exists()


def test_files_that_a_card_names_and_the_repository_lacks_are_one_line(nano_hub: LoopbackHub, tmp_path: Path) -> None:
    repo = nano_hub.repo("dataset", "mteb/MultilingualNanoNQRetrieval")
    del repo.commits[0].files["no-qrels/test-00000-of-00001.parquet"]
    with refused("evaluation.sets.x", "mteb/MultilingualNanoNQRetrieval", "no-qrels"):
        fetch(origin(kind="nanobeir", benchmark="NanoBEIR-multilingual", subset="no"), tmp_path / "eval", "evaluation.sets.x")


def test_the_sample_is_written_and_an_unknown_one_is_refused(run: Stage, tmp_path: Path) -> None:
    assert run("evaluation", resolved={"sample": origin(sample="sample")}).returncode == 0
    assert (tmp_path / "data/eval/sample/qrels").is_dir()
    assert "datasets.x.sample: there is no 'nothing'; use one of nli, qa" in one_line(
        run("datasets", resolved={"x": origin(sample="nothing")})
    )
