"""Shared by several test modules: a real, small base model made from a few sentences."""

import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tqdm import tqdm
from tqdm.std import TqdmDefaultWriteLock

from stages.make_base.lexical import make_base

# Background jobs of a shell, and so of a CI, ignore Ctrl-C, and so do their children; tests of Ctrl-C need it.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Progress bars share a lock with forks. A fork that is killed while it holds the lock would block every later bar in any process.
TqdmDefaultWriteLock.mp_lock = None
tqdm.monitor_interval = 0  # no thread that could hold the lock between threads while a test forks

SENTENCES = [
    "Biblioteket i Bodø har åpent til klokka åtte på torsdager.",
    "Svømmehallen stenger tidlig i romjulen.",
    "Eg veit ikkje når ferja går frå kaia.",
    "Hvor meget koster en billet til museet i Aarhus?",
    "Barnehaven holder lukket i uge 29.",
    "Vad kostar det att lämna däck på återvinningscentralen?",
    "Båten till ön avgår varje timme från bryggan.",
    "Kommunen tømmer søppelet hver mandag morgen.",
]


@pytest.fixture(scope="module")
def modules_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Code that transformers copies from models' folders goes to a folder of the test module's, not to the home directory."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path_factory.mktemp("modules")))
        patch.setattr(sys, "path", list(sys.path))
        yield
    for name in [name for name in sys.modules if name.split(".")[0] == "transformers_modules"]:
        del sys.modules[name]


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a made base model: 500 word pieces, hidden size 64, one layer."""
    return make(tmp_path_factory.mktemp("base"))


def make(folder: Path) -> Path:
    shape = {"vocab_size": 500, "hidden_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    make_base(lambda: SENTENCES, SENTENCES, folder, **shape, max_seq_length=64, seed=1)
    return folder
