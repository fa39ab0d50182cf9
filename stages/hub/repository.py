"""A repository on the Hub: its name, the headers of a request, and one line for each of the Hub's refusals."""

import json
import re
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from urllib.request import getproxies

import httpx2
from huggingface_hub import constants, get_token
from huggingface_hub.errors import (
    GatedRepoError,
    HFValidationError,
    OfflineModeIsEnabled,
    OIDCError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import build_hf_headers, validate_repo_id

from stages.hub.retries import Incomplete, cause, is_temporary, reason, status
from stages.runtime.credentials import is_address
from stages.runtime.errors import WRITE_ADDRESS, UserError, require_endpoint

ERRORS = (OSError, httpx2.HTTPError, httpx2.InvalidURL, json.JSONDecodeError, Incomplete)  # OSError: the Hub's answers, the disk
AGAIN = "run `dvc repro` again: what is downloaded is kept"


@dataclass(frozen=True)
class Source:
    """A Hub repository at a commit of 40 hexadecimal digits; ``key`` names it in error lines, as params.yaml does."""

    repo: str
    revision: str
    repo_type: str
    key: str

    def __str__(self) -> str:
        return f"{self.repo_type}--{self.repo.replace('/', '--')}@{self.revision}"


def require_addresses(endpoint: str | None = None) -> None:
    """Raise `UserError` if the Hub's or a proxy's address is malformed. The line does not quote it: it may hold a password."""
    require_endpoint(endpoint or constants.ENDPOINT)
    for scheme, proxy in getproxies().items():
        name = f"{scheme.upper()}_PROXY"
        if scheme not in ("http", "https", "all"):
            continue
        if not is_address(proxy if "://" in proxy else f"http://{proxy}", ("http", "https", "socks5", "socks5h")):
            raise UserError(f"{name}: is not the address of a proxy; {WRITE_ADDRESS}")
        if proxy.startswith("socks") and not find_spec("socksio"):
            raise UserError(f"{name}: is a SOCKS proxy, which needs a package; `pip install socksio`, or name an HTTP proxy")


def usable_token() -> str | None:
    """The token from the environment or `hf auth login`, or None; `UserError` if it is malformed."""
    try:
        token: str | None = get_token()
    except OIDCError as error:
        raise UserError("HF_OIDC_RESOURCE: gives no token; unset it, or set HF_TOKEN") from error
    if token and not re.fullmatch(r"[!-~]+", token):  # httpx2 would quote it in its error
        raise UserError("HF_TOKEN: holds characters that no Hub token has; run `hf auth login` or set it again")
    return token


def require_repo_id(repo: str, key: str) -> None:
    """Raise `UserError`, naming ``key``, if ``repo`` is not the name of a repository."""
    try:
        validate_repo_id(repo)
        if "/" in repo:
            return
    except HFValidationError:
        pass
    raise UserError(f"{key}: {repo!r} is not the name of a Hub repository; write it as owner/name")


def headers(source: Source) -> dict[str, str]:
    """Headers of a request for ``source``, with the token from the environment or `hf auth login` if there is one.

    Raises:
        UserError: its name, the token, or the Hub's or a proxy's address is malformed.
    """
    require_addresses()
    require_repo_id(source.repo, source.key)
    usable_token()
    values: dict[str, str] = build_hf_headers(library_name="nordic-sparse")
    return values


def explain(error: Exception, source: Source, endpoint: str, place: Path) -> UserError:
    """One line for an error in downloading ``source`` from ``endpoint`` into ``place``: what is wrong, what to do."""
    key, repo, code = source.key, source.repo, status(error)
    if isinstance(error, GatedRepoError):
        page = f"{endpoint}/{'datasets/' if source.repo_type == 'dataset' else ''}{repo}"
        return UserError(f"{key}: {repo} is gated ({code}); accept its terms at {page}, then set HF_TOKEN or run `hf auth login`")
    if isinstance(error, RevisionNotFoundError):
        return UserError(f"{key}: {repo} has no commit {source.revision}; `make pin` looks up the newest")
    if isinstance(error, RepositoryNotFoundError):
        return UserError(f"{key}: the Hub has no {source.repo_type} {repo}, or it is private; correct it, or set HF_TOKEN")
    if code == 403:
        return UserError(f"{key}: the token may not read {repo} (403); use one that may (`hf auth login` or HF_TOKEN)")
    if refusal := explain_common(error, key, f"{repo} could not be downloaded", endpoint, AGAIN):
        return refusal
    if code is not None:
        return UserError(f"{key}: {repo} could not be downloaded ({reason(error)}); check that {endpoint} still has it")
    return UserError(f"{place}: cannot be written ({getattr(error, 'strerror', None) or error}); fix that, then {AGAIN}")


def explain_common(error: BaseException, key: str, what: str, endpoint: str, again: str) -> UserError | None:
    """The line for an error that any request to the Hub may meet: offline, a bad token, no connection, a failing server."""
    if isinstance(error, OfflineModeIsEnabled):
        return UserError(f"{key}: {what}, because HF_HUB_OFFLINE is set; unset it, then {again}")
    if status(error) == 401:
        return UserError(f"{key}: the Hub does not accept the token (401); run `hf auth login` or set HF_TOKEN to a valid one")
    if is_temporary(error) or (status(error) is None and isinstance(cause(error), httpx2.HTTPError | httpx2.InvalidURL)):
        remedy = "later" if status(error) else "check the network and HF_ENDPOINT, then"
        return UserError(f"{key}: {what}: {endpoint} is not available ({reason(error)}); {remedy} {again}")
    return None
