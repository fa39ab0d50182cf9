"""Publishing a trained model to the Hugging Face Hub: its files and its card, nothing else, as one commit.

What belongs to a model is an allow-list: the files that sentence-transformers and transformers load, at the root and in folders that are
named as modules are. Whatever else is there (optimizer state, logs, data, another README) is not uploaded.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import httpx2
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
from huggingface_hub.errors import HFValidationError, OfflineModeIsEnabled, RepositoryNotFoundError
from huggingface_hub.utils import validate_repo_id

from stages.hub.repository import require_addresses, usable_token
from stages.hub.retries import Patience, passes, status
from stages.runtime.credentials import without_credentials
from stages.runtime.errors import UserError

CARD, CHECKPOINT = "README.md", "last-checkpoint"
MODEL_FILES = (
    "*.safetensors", "*.safetensors.index.json", "modules.json", "config_sentence_transformers.json", "*config.json",
    "tokenizer.json", "special_tokens_map.json", "added_tokens.json", "vocab.json", "vocab.txt", "merges.txt",
    "*.model", "*.jinja", "*.py",
)  # fmt: skip
OLD_WEIGHTS = ("pytorch_model*.bin", "pytorch_model*.bin.index.json", "tf_model.h5", "flax_model.msgpack")
MODULE_FOLDER = re.compile(r"(\w+_)?\d+_\w+")  # 1_SpladePooling, query_0_SparseStaticEmbedding
FAILURES = (
    OSError,
    RuntimeError,
    httpx2.HTTPError,
    httpx2.InvalidURL,
    json.JSONDecodeError,
)  # OSError: the Hub's and Xet's
FIRST_ANSWER = 10.0  # seconds within which the Hub must answer the first request


Files = Mapping[str, Path | bytes]
"""What goes up, by its name in the repository."""


@dataclass(frozen=True)
class Published:
    """Where a model was published: the commit's 40 digits and the page."""

    commit: str
    url: str


def model_files(folder: Path) -> dict[str, Path]:
    """The files of the sentence-transformers model in ``folder`` that are published, by their name in the repository.

    UserError where ``folder`` holds no model or one without safetensors weights.
    """
    if not (folder / "modules.json").is_file():
        raise UserError(f"{folder}: no saved sentence-transformers model (no modules.json); run `dvc repro train`")
    files = {name: path for path in folder.rglob("*") if path.is_file() and _is_model_file(name := path.relative_to(folder).as_posix())}
    if not any(name.endswith(".safetensors") for name in files):
        raise UserError(f"{folder}: the model has no safetensors weights, and pickled ones are not published; save it again")
    return dict(sorted(files.items()))


def fingerprint(folder: Path) -> str:
    """Hexadecimal sha256 over the names and contents of `model_files`: equal for equal models, whatever their card."""
    digest = hashlib.sha256()
    for name, path in model_files(folder).items():
        with path.open("rb") as file:
            digest.update(f"{name}\0{hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return digest.hexdigest()


def needs_push(receipt: Mapping[str, Any] | None, fingerprint: str, repo_id: str) -> bool:
    """Whether the model is not what was pushed last; ``receipt`` holds the repo_id and fingerprint of that push."""
    return receipt is None or (receipt.get("repo_id"), receipt.get("fingerprint")) != (repo_id, fingerprint)


def publish(
    folder: Path,
    card: str,
    repo_id: str,
    *,
    private: bool = True,
    commit_message: str = "Publish model and card",
    endpoint: str | None = None,
    patience: float = 20.0,
) -> Published:
    """Upload the model in ``folder`` and ``card`` as its README.md to ``repo_id`` (namespace/name), in one commit.

    The repository is made where there is none, private unless told otherwise; model files of an earlier version that
    this one no longer has go in the same commit. The token comes from the environment or from `hf auth login`, the
    endpoint from HF_ENDPOINT unless given. What passes (the network, 429, 5xx) is tried again while ``patience``
    seconds of waiting last (see `Patience`), on top of the half minute that huggingface_hub gives a single upload. A
    repetition after a commit whose answer was lost commits nothing twice. UserError, without the token, for whatever
    the user can mend.
    """
    files: Files = {**model_files(folder), CARD: card.encode()}
    return _publish(files, repo_id, private, commit_message, endpoint, patience, lambda name: _is_model_file(name, OLD_WEIGHTS))


def publish_checkpoint(folder: Path, step: int, repo_id: str, *, endpoint: str | None = None, patience: float = 20.0) -> Published:
    """Upload the model in a trainer's checkpoint into `CHECKPOINT` of the private repository ``repo_id``, in place of the one before.

    What else a checkpoint holds (optimizer, random state, log, paths) stays at home. Otherwise as `publish`.
    """
    files = {f"{CHECKPOINT}/{name}": path for name, path in model_files(folder).items()}
    return _publish(files, repo_id, True, f"Checkpoint of step {step}", endpoint, patience, lambda name: name.startswith(f"{CHECKPOINT}/"))


def _publish(
    files: Files, repo_id: str, private: bool, message: str, endpoint: str | None, patience: float, stale: Callable[[str], bool]
) -> Published:
    _refuse_local_paths(files)
    _check_repo_id(repo_id)
    require_addresses(endpoint)
    if (token := usable_token()) is None:
        raise UserError("hub.push: there is no Hub token; run `hf auth login` or set HF_TOKEN")
    api = HfApi(endpoint=endpoint, token=token)
    patient = Patience(patience, "hub.push")
    while True:
        try:
            return _push(api, files, repo_id, private, message, stale)
        except FAILURES as error:
            cause = _cause(error)
            try:
                patient.endure(cause)
            except type(cause):
                raise _explain(cause, repo_id, api.endpoint, token) from error


def _push(api: HfApi, files: Files, repo_id: str, private: bool, message: str, stale: Callable[[str], bool]) -> Published:
    try:
        head = api.model_info(repo_id, timeout=FIRST_ANSWER)
    except RepositoryNotFoundError:
        api.create_repo(repo_id, private=private, exist_ok=True)
        head = api.model_info(repo_id, timeout=FIRST_ANSWER)
    if private and head.private is False:
        raise UserError(
            f"hub.private: is true, but {repo_id} is public already; make it private on the Hub, choose another "
            "hub.model_id, or set hub.private: false"
        )
    remote = [sibling.rfilename for sibling in head.siblings or []]
    operations: list[CommitOperationAdd | CommitOperationDelete] = [
        *(CommitOperationAdd(name, content) for name, content in files.items()),
        *(CommitOperationDelete(name) for name in remote if name not in files and stale(name)),
    ]
    try:
        commit = api.create_commit(repo_id, operations, commit_message=message, parent_commit=head.sha)
    except ValueError as error:
        if str(error).startswith("Invalid metadata in README.md"):
            raise UserError(f"hub: the Hub refuses the card's header ({str(error).partition('- ')[2]}); correct it") from error
        raise
    return Published(commit.oid, without_credentials(f"{api.endpoint}/{repo_id}"))


def _is_model_file(name: str, more: tuple[str, ...] = ()) -> bool:
    """Whether a file, by its name in the folder or repository, is part of a model. A licence, a picture or a checkpoint is not."""
    *folders, last = name.split("/")
    of_module = all(MODULE_FOLDER.fullmatch(part) for part in folders) and not last.startswith(".")
    return of_module and any(fnmatch(last, pattern) for pattern in MODEL_FILES + more)


def _refuse_local_paths(files: Files) -> None:
    """Configurations must not publish a path of this machine."""
    for name, path in files.items():
        if fnmatch(name, "*config*.json") and isinstance(path, Path):
            for text in _texts(json.loads(path.read_text(encoding="utf-8"))):
                if Path(text).is_absolute() and len(text) > 1 and Path(text).exists():
                    raise UserError(f"{path}: names a path of this machine ({text}); take it out before the model is published")


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _texts(item)


def _check_repo_id(repo_id: str) -> None:
    try:
        validate_repo_id(repo_id)
        if "/" in repo_id:
            return
    except HFValidationError:
        pass
    raise UserError(f"hub.model_id: {repo_id!r} is no Hub repository; write it as namespace/name")


def _cause(error: Exception) -> Exception:
    """The failure itself where huggingface_hub wraps it, as it does in the threads that upload."""
    return error.__cause__ if isinstance(error, RuntimeError) and isinstance(error.__cause__, Exception) else error


def _explain(error: BaseException, repo_id: str, endpoint: str, token: str) -> UserError:
    code = status(error)
    again = "run `dvc repro push` again"
    if isinstance(error, OfflineModeIsEnabled):
        return UserError("hub.push: HF_HUB_OFFLINE is set, so nothing can be pushed; unset it or set hub.push: false")
    if isinstance(error, httpx2.TransportError | httpx2.InvalidURL):
        return UserError(f"hub.push: {endpoint} cannot be reached; check the network and HF_ENDPOINT, then {again}")
    if code == 401:
        return UserError("hub.push: the Hub does not accept the token (401); run `hf auth login` or set HF_TOKEN to a valid one")
    if code in (403, 404):
        remedy = "use a token with write access (`hf auth login` or HF_TOKEN) or a namespace of your own"
        return UserError(f"hub.model_id: the token may not write to {repo_id} ({code}); {remedy}")
    if code in (409, 412):
        return UserError(f"hub.model_id: {repo_id} was changed by somebody else during the push ({code}); {again}")
    if passes(error):
        return UserError(f"hub.push: the Hub at {endpoint} is not available ({code or 'its answer was no JSON'}); {again} later")
    reason = getattr(error, "server_message", None) or str(error) or type(error).__name__
    reason = without_credentials(reason.replace(token, "<token>")).strip().splitlines()[0][:300]
    return UserError(f"hub.push: the upload to {repo_id} failed ({f'{code}: ' if code else ''}{reason}); mend that and {again}")
