"""Publishes a trained model to the Hugging Face Hub: its files and its card, in one commit.

An allow-list says which files belong to a model: those that sentence-transformers and transformers load, at the root and in the folders
of its modules. Anything else (optimizer state, logs, data, another README) is not uploaded.
"""

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from huggingface_hub import CommitInfo, CommitOperationAdd, CommitOperationDelete, HfApi
from huggingface_hub.errors import RepositoryNotFoundError

from stages.hub.manifest import sha256
from stages.hub.repository import ERRORS, explain_common, require_addresses, require_repo_id, usable_token
from stages.hub.retries import Patience, cause, status
from stages.runtime.errors import UserError

CARD, CHECKPOINT = "README.md", "last-checkpoint"
MODEL_FILES = (
    "*.safetensors", "*.safetensors.index.json", "modules.json", "retrieval.json", "config_sentence_transformers.json", "*config.json",
    "tokenizer.json", "special_tokens_map.json", "added_tokens.json", "vocab.json", "vocab.txt", "merges.txt",
    "*.model", "*.jinja", "*.py",
)  # fmt: skip
OLD_WEIGHTS = ("pytorch_model*.bin", "pytorch_model*.bin.index.json", "tf_model.h5", "flax_model.msgpack")
MODULE_FOLDER = re.compile(r"(\w+_)?\d+_\w+")  # 1_SpladePooling, query_0_SparseStaticEmbedding
FIRST_ANSWER = 10.0  # seconds within which the Hub must answer the first request

Files = Mapping[str, Path | bytes]
"""The content to upload, by its name in the repository."""


def model_files(folder: Path) -> dict[str, Path]:
    """The files of the sentence-transformers model in ``folder`` that are published, by their name in the repository.

    UserError if ``folder`` holds no model, or one without safetensors weights.
    """
    if not (folder / "modules.json").is_file():
        raise UserError(f"{folder}: has no sentence-transformers model (no modules.json); run `dvc repro train`")
    files = {name: path for path in folder.rglob("*") if path.is_file() and _is_model_file(name := path.relative_to(folder).as_posix())}
    if not any(name.endswith(".safetensors") for name in files):
        raise UserError(f"{folder}: the model has no safetensors weights, and pickled ones are not published; save it again")
    return dict(sorted(files.items()))


def fingerprint(folder: Path, more: Mapping[str, bytes] = {}) -> str:
    """Hexadecimal sha256 over the names and contents of `model_files` and ``more``: equal for equal models, whatever their card."""
    contents = {name: sha256(path) for name, path in model_files(folder).items()}
    contents |= {name: hashlib.sha256(content).hexdigest() for name, content in more.items()}
    lines = [f"{name}\0{digest}\n" for name, digest in sorted(contents.items())]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def needs_push(receipt: Mapping[str, Any] | None, fingerprint: str, repo_id: str) -> bool:
    """Whether the model differs from the last push, whose repo_id and fingerprint are in ``receipt``."""
    return receipt is None or (receipt.get("repo_id"), receipt.get("fingerprint")) != (repo_id, fingerprint)


def publish(
    folder: Path,
    card: str,
    repo_id: str,
    *,
    more: Mapping[str, bytes] = {},
    private: bool = True,
    commit_message: str = "Publish model and card",
    endpoint: str | None = None,
    patience: float = 20.0,
) -> CommitInfo:
    """Upload the model in ``folder``, and ``card`` as its README.md, to ``repo_id`` (namespace/name) in one commit.

    The files in ``more`` (content by name) are uploaded too, or instead of those of the same name in ``folder``.

    The repository is created if needed. The same commit removes model files of an earlier version that this one no longer has.
    The token comes from the environment or `hf auth login`, the endpoint from HF_ENDPOINT unless given. Temporary failures (network,
    429, 5xx) are retried (see `Patience`), in addition to the half minute that huggingface_hub gives a single upload. If the answer to
    a commit is lost, the retry commits nothing twice.

    Raises:
        UserError: whatever the user can fix; it does not show the token.
    """
    files: Files = {**model_files(folder), **more, CARD: card.encode()}
    return _publish(files, repo_id, private, commit_message, endpoint, patience, lambda name: _is_model_file(name, OLD_WEIGHTS))


def publish_checkpoint(folder: Path, step: int, repo_id: str, *, endpoint: str | None = None, patience: float = 20.0) -> CommitInfo:
    """Upload the model in a trainer's checkpoint to the folder `CHECKPOINT` of the private repository ``repo_id``, as `publish` does.

    It replaces the previous one. The rest of a checkpoint (optimizer, random state, log, paths) is not uploaded.
    """
    files = {f"{CHECKPOINT}/{name}": path for name, path in model_files(folder).items()}
    return _publish(files, repo_id, True, f"Checkpoint of step {step}", endpoint, patience, lambda name: name.startswith(f"{CHECKPOINT}/"))


def _publish(
    files: Files, repo_id: str, private: bool, message: str, endpoint: str | None, patience: float, stale: Callable[[str], bool]
) -> CommitInfo:
    _refuse_local_paths(files)
    require_repo_id(repo_id, "hub.model_id")
    require_addresses(endpoint)
    if (token := usable_token()) is None:
        raise UserError("hub.push: there is no Hub token; run `hf auth login` or set HF_TOKEN")
    api = HfApi(endpoint=endpoint, token=token)
    try:
        return Patience(patience, "hub.push").attempt(lambda: _push(api, files, repo_id, private, message, stale))
    except (*ERRORS, RuntimeError) as error:
        raise _explain(error, repo_id, api.endpoint, token) from error


def _push(api: HfApi, files: Files, repo_id: str, private: bool, message: str, stale: Callable[[str], bool]) -> CommitInfo:
    try:
        head = api.model_info(repo_id, timeout=FIRST_ANSWER)
    except RepositoryNotFoundError:
        api.create_repo(repo_id, private=private, exist_ok=True)
        head = api.model_info(repo_id, timeout=FIRST_ANSWER)
    if private and head.private is False:
        raise UserError(
            f"hub.private: is true, but {repo_id} is already public; make it private on the Hub, choose another "
            "hub.model_id, or set hub.private: false"
        )
    remote = [sibling.rfilename for sibling in head.siblings or []]
    operations: list[CommitOperationAdd | CommitOperationDelete] = [
        *(CommitOperationAdd(name, content) for name, content in files.items()),
        *(CommitOperationDelete(name) for name in remote if name not in files and stale(name)),
    ]
    try:
        return api.create_commit(repo_id, operations, commit_message=message, parent_commit=head.sha)
    except ValueError as error:
        if str(error).startswith("Invalid metadata in README.md"):
            raise UserError(f"hub.push: the Hub refuses the card's header ({str(error).partition('- ')[2]}); correct it") from error
        raise


def _is_model_file(name: str, more: tuple[str, ...] = ()) -> bool:
    """Whether the name, in a folder or repository, is that of a model's file. A licence, a picture or a checkpoint is not."""
    *folders, last = name.split("/")
    of_module = all(MODULE_FOLDER.fullmatch(part) for part in folders) and not last.startswith(".")
    return of_module and any(fnmatch(last, pattern) for pattern in MODEL_FILES + more)


def _refuse_local_paths(files: Files) -> None:
    """Raise `UserError` if a configuration names a path of this machine."""
    for name, path in files.items():
        if fnmatch(name, "*config*.json") and isinstance(path, Path):
            text = json.dumps(json.loads(path.read_text(encoding="utf-8")), ensure_ascii=False)
            if local := [found for found in re.findall(r'"(/[^"]+)"', text) if Path(found).exists()]:
                raise UserError(f"{path}: names a path of this machine ({local[0]}); remove it, then run `dvc repro push` again")


def _explain(error: Exception, repo_id: str, endpoint: str, token: str) -> UserError:
    code = status(error)
    again = "run `dvc repro push` again"
    if code in (403, 404):
        remedy = "use a token with write access (`hf auth login` or HF_TOKEN) or a namespace of your own"
        return UserError(f"hub.model_id: the token may not write to {repo_id} ({code}); {remedy}")
    if code in (409, 412):
        return UserError(f"hub.model_id: {repo_id} was changed by somebody else during the push ({code}); {again}")
    if refusal := explain_common(error, "hub.push", f"{repo_id} could not be pushed", endpoint, again):
        return refusal
    said = str(getattr(cause(error), "server_message", None) or error) or type(error).__name__
    said = said.replace(token, "<token>").strip().splitlines()[0][:300]
    return UserError(f"hub.push: {repo_id} could not be pushed ({f'{code}: ' if code else ''}{said}); fix that, then {again}")
