"""No error, log line or traceback shows the user name, password or token of an address."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from stages.hub.repository import require_addresses
from stages.runtime.credentials import without_credentials
from stages.tracking.run import Tracker, store_uri
from tests import ROOT
from tests.refused import refused
from tests.unit.hub.test_publish import MODEL, write

SECRETS = ("kari.nordmann", "hunter2", "s3cret")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://u:p@ss@host:1/a", "http://host:1/a"),
        ("failed: postgresql://u:p@db/x and more", "failed: postgresql://db/x and more"),
        ("postgresql://db/x?password=p", "postgresql://db/x"),
        ("403 for url 'https://cdn.example/f?X-Signature=abc' again", "403 for url 'https://cdn.example/f' again"),
        ("hf_abcdefghijklmnopqrstuv is not valid", "hf_*** is not valid"),
        ("sqlite:////home/x/mlflow.db", "sqlite:////home/x/mlflow.db"),
        ("metrics of what? none: a@b", "metrics of what? none: a@b"),
    ],
)
def test_credentials_are_removed_from_addresses(text: str, shown: str) -> None:
    assert without_credentials(text) == shown


def test_the_environments_secrets_are_hidden_in_every_form(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "https://kari.nordmann:hun%2Fter2@hub.example/t/s3cret/hf")
    monkeypatch.setenv("https_proxy", "proxyuser:s3cret2@proxy.example:3128")
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "s3cret3")
    for text in (
        "https://kari.nordmann:hun%2Fter2@hub.example/t/s3cret/hf/datasets/a/b",
        "host 'kari.nordmann:hun%2Fter2@hub.example', password 'hun/ter2'",
        "proxyuser:s3cret2@proxy.example:3128 refused s3cret2",
        "Bearer s3cret3",
    ):
        shown = without_credentials(text)
        assert not [secret for secret in ("kari.nordmann", "hun%2Fter2", "hun/ter2", "s3cret", "proxyuser") if secret in shown], shown
    assert without_credentials("https://hub.example/t/s3cret/hf/datasets/a/b") == "https://hub.example/datasets/a/b"


ADDRESSES = [
    {"HF_ENDPOINT": "http://kari.nordmann:hunter2@127.0.0.1:9"},
    {"HF_ENDPOINT": "http://hunter2@127.0.0.1:9"},
    {"HF_ENDPOINT": "http://127.0.0.1:9/?token=hunter2"},
    {"HF_ENDPOINT": "http://127.0.0.1:9/t/hunter2"},
    {"HF_ENDPOINT": "http://kari.nordmann:hunter2/s3cret@127.0.0.1:9"},  # a slash that should be percent-encoded
    {"HF_ENDPOINT": "http://kari.nordmann:99/hunter2@127.0.0.1:9"},
    {"HF_ENDPOINT": "http://kari.nordmann:hunter2@127.0.0.1:port"},
    {"HF_ENDPOINT": "kari.nordmann:hunter2@127.0.0.1"},
    {"HF_ENDPOINT": "ftp://kari.nordmann:hunter2@127.0.0.1"},
    {"HF_ENDPOINT": "http://hub.invalid", "HTTP_PROXY": "http://kari.nordmann:hunter2@127.0.0.1:9"},
    {"HF_ENDPOINT": "http://hub.invalid", "http_proxy": "kari.nordmann:hunter2@127.0.0.1:9"},
    {"HF_ENDPOINT": "http://hub.invalid", "HTTP_PROXY": "http://kari.nordmann:hunter2#s3cret@127.0.0.1:9"},
    {"HF_ENDPOINT": "http://hub.invalid", "HTTP_PROXY": "ftp://kari.nordmann:hunter2@127.0.0.1:9"},
    {"HF_ENDPOINT": "http://hub.invalid", "ALL_PROXY": "socks5://kari.nordmann:hunter2@127.0.0.1:9"},
    {"HF_ENDPOINT": "http://hub.invalid", "HTTP_PROXY": "http://kari.nordmann:hunter2@127.0.0.1:99999999"},
]


# The actions are download, pin and push.
@pytest.mark.parametrize(("addresses", "act"), [(addresses, number % 3) for number, addresses in enumerate(ADDRESSES)])
def test_failures_at_the_hub_show_no_credentials(addresses: dict[str, str], act: int, tmp_path: Path) -> None:
    (tmp_path / "resolved").mkdir()
    origin = {"chosen": True, "kind": "pairs", "repo": "a/b", "revision": "0" * 40, "path": None, "sample": None}
    with (tmp_path / "resolved" / "download.yaml").open("w") as file:
        YAML().dump({"mine": origin}, file)
    write(tmp_path / "final", MODEL)
    clean = {name: value for name, value in os.environ.items() if not name.startswith("HF_") and "proxy" not in name.lower()}
    script = f"""
import logging, sys
sys.path.insert(0, {str(ROOT)!r})
from pathlib import Path
from stages.download import __main__ as download
from stages.runtime.errors import UserError, run_stage
from stages.commands.pin import look_up
def publish():
    from stages.hub.publish import publish
    publish(Path("final"), "---\\n---\\n", "me/model", patience=0.01)
act = [lambda: download.main(["dataset", "mine"]), lambda: look_up("a/b", "dataset", None), publish][int(sys.argv[1])]
logging.basicConfig(level=logging.DEBUG)
run_stage(act)
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(act)],
        cwd=tmp_path,
        env=clean | {"HF_TOKEN": "hf_s3cret_token", "HF_HUB_DISABLE_XET": "1", "DOWNLOAD_PATIENCE": "0.01", "NO_PROXY": ""} | addresses,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
    )
    assert not [secret for secret in SECRETS if secret in done.stdout], done.stdout
    assert done.returncode == 2 and done.stdout.count("error: ") == 1, done.stdout


def test_a_traceback_and_a_log_line_show_no_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    script = """
import logging
from stages.runtime.errors import run_stage
def main():
    logging.getLogger("huggingface_hub.utils").warning("retrying %s", "http://kari.nordmann:hunter2@host/x")
    raise RuntimeError("Client error for url 'http://kari.nordmann:hunter2@host/x?token=s3cret'")
run_stage(main)
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "Traceback" in done.stderr and "http://host/x" in done.stderr and "retrying" in done.stderr
    assert not [secret for secret in SECRETS if secret in done.stderr]


@pytest.mark.parametrize(
    "uri", ["http://kari.nordmann:hun/ter2@127.0.0.1:9", "postgresql://kari.nordmann:hun#ter2@127.0.0.1:9/x", "http://k:hun ter2@host"]
)
def test_an_invalid_tracking_address_is_reported_without_its_password(
    uri: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with Tracker(store_uri(tmp_path), experiment="x", run_key="x", name=None, tags={}, folder=str(tmp_path)):
        pass
    (line,) = capfd.readouterr().err.strip().splitlines()
    assert "percent-encode" in line and not [secret for secret in ("kari", "hun", "ter2") if secret in line]


def test_valid_addresses_are_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if "proxy" in name.lower()]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HTTPS_PROXY", "http://user:p%40ss@proxy.example:3128")
    monkeypatch.setenv("http_proxy", "proxy.example:3128")
    for endpoint in ("https://huggingface.co", "http://127.0.0.1:8080/", "https://u:p%2Fx@hub.example/prefix", "http://[::1]:80"):
        require_addresses(endpoint)
    with refused("HF_ENDPOINT", "http(s) address"):
        require_addresses("host")
