"""Starts the page's server, which ends with Ctrl-C."""

import socket
from pathlib import Path

import uvicorn
from sentence_transformers import SentenceTransformer, SparseEncoder

from stages.config.params import RESOLVED, load_resolved
from stages.config.settings import EvaluateSettings
from stages.engines.index import Index
from stages.evaluate.examples import candidates
from stages.page.app import application
from stages.page.systems import Systems
from stages.retrieval.sets import load_sets
from stages.runtime.errors import UserError

HOST = "127.0.0.1"


def serve_page(index: Index, model: SparseEncoder, dense: Path | None, port: int, sets: Path) -> None:
    """Serve the page until Ctrl-C.

    Args:
        dense: folder of a dense model to compare with.
        sets: the folder of the evaluation sets' files, for examples.

    Raises:
        UserError: the port is taken, ``dense`` holds no model, or the engine cannot be searched.
    """
    if dense and not (dense / "config.json").is_file() and not (dense / "modules.json").is_file():
        raise UserError(f"--dense: must be the folder of a dense model, got {dense}")
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as free:
        free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            free.bind((HOST, port))
        except OSError as error:
            raise UserError(f"--port: {port} is not free ({error.strerror}); choose another") from error
        loaded = SentenceTransformer(str(dense), local_files_only=True) if dense else None
        systems = Systems(index, model, loaded, dense or Path())
        free.listen()  # so that who opens the address at once is not refused
        print(f"http://{HOST}:{port}  (Ctrl-C ends it)", flush=True)
        uvicorn.Server(uvicorn.Config(application(systems, examples(index.meta.source, sets)), log_level="warning")).run(sockets=[free])


def examples(source: str, sets: Path) -> list[tuple[str, str | None]]:
    """A few queries of each set of the evaluation set that was indexed, with their languages; none if it is not one."""
    entry, _, only = source.partition("/")
    if not (RESOLVED / "evaluate.yaml").is_file() or entry not in (known := load_resolved("evaluate", EvaluateSettings).sets):
        return []
    loaded = load_sets(sets / entry, entry, **known[entry].model_dump(exclude_none=True))
    chosen = [(example.query, each.language) for each in loaded if only in ("", each.name) for example in candidates(each)]
    return list(dict.fromkeys(chosen))[:16]
